"""One run: everything resolved, then the modes that act on it."""
