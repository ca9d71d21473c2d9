"""The command line: overrides as people type them, Hydra, and the exit code."""
