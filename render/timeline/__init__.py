"""Prompts, seeds and their weights at any time of the film."""
