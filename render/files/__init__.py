"""Files that are written whole or not at all, their ownership, and the lock of a folder."""
