"""The frame plan: one spec and one digest for each frame."""
