"""Measurement: how smoothly the pictures of a film follow each other. It needs no model."""
