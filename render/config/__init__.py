"""The config as a person wrote it: its schema, its values, and how it is read."""
