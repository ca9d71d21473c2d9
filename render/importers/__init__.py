"""Timelines of other tools, read as data: each importer makes keyframes of one kind of file."""
