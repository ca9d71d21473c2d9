"""Files that are written whole or not at all, whose they are, and the lock of a folder."""
