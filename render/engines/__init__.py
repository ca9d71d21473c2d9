"""Engines compute the networks: torch, compiled torch, OpenVINO, and those of other packages."""
