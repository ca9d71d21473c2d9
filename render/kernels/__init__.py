"""Faster ways to compute layers of a network; nothing here knows a film."""
