"""What a run says while it works and when it is done, and run.json."""
