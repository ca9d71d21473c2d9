"""Finished frames by digest, and the state of each."""
