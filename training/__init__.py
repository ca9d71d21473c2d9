"""How the embedded models were made: code that no render needs, and that no wheel holds."""
