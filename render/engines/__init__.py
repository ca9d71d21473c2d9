"""What computes the networks: torch, compiled torch, OpenVINO."""
