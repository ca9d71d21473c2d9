"""Model folders and hub repositories: what they hold, looked at without torch."""
