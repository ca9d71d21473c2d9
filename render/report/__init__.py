"""The output of a run while it works and when it is done, and run.json."""
