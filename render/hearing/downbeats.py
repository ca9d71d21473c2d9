"""The first beats of bars, by beat-this (Foscarin et al. 2024), where it is installed.

It is a network whose weights it fetches itself the first time.
"""

from __future__ import annotations

import numpy as np

from render.hearing.by_librosa import HZ, Samples, Series

CHECKPOINT = "final0"


def downbeats(samples: Samples) -> Series:
    """Times of the first beats of bars in seconds; none without beat-this or its weights."""
    try:
        from beat_this.inference import Audio2Beats
    except ImportError:
        return np.zeros(0)
    try:
        follow = Audio2Beats(checkpoint_path=CHECKPOINT, device="cpu", float16=False)
        _, found = follow(samples, HZ)
    except (OSError, RuntimeError, ValueError):  # its weights are not here, or the sound is short
        return np.zeros(0)
    return np.asarray(found, np.float64)
