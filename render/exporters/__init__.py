"""A film's timeline for other tools: each exporter makes one kind of file of it."""
