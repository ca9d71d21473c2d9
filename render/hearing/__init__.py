"""Sounds, analysed: when their beats and onsets are, and how loud their bands are."""
