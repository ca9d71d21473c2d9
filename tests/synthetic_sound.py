"""Sounds that tests make: clicks, a drummer with chords, and files of them."""

import wave
from pathlib import Path

import numpy as np

HZ = 22_050


def hit(pitch: float, decay_s: float, noise: float, rng: np.random.Generator):
    """A stroke that dies away: a tone, noise, or both."""
    time = np.arange(int(HZ * decay_s * 4)) / HZ
    tone = np.sin(2 * np.pi * pitch * time)
    return np.exp(-time / decay_s) * (
        (1 - noise) * tone + noise * rng.standard_normal(len(time)) / 2
    )


def add(sound, at_s: float, stroke, gain: float) -> None:
    """Add a stroke to a sound, as far as that goes on."""
    begin = min(round(at_s * HZ), len(sound))
    end = min(len(sound), begin + len(stroke))
    sound[begin:end] += gain * stroke[: end - begin]


def clicks(bpm: float, seconds: float, offset_s: float = 0.3):
    """A click track and the times of its beats."""
    sound, rng = np.zeros(int(HZ * seconds)), np.random.default_rng(0)
    beats = np.arange(offset_s, seconds - 0.05, 60 / bpm)
    for beat in beats:
        add(sound, beat, hit(1000, 0.01, 0, rng), 0.8)
    return sound, beats


def drums(bpm: float, seconds: float, offset_s: float = 0.3):
    """Kick, snare, hats on every half beat and chords in faint noise: the sound, the times of the
    beats, and those of the kicks."""
    sound, rng = np.zeros(int(HZ * seconds)), np.random.default_rng(1)
    period = 60 / bpm
    beats = np.arange(offset_s, seconds - 0.05, period)
    for number, beat in enumerate(beats):
        kick = number % 2 == 0
        add(sound, beat, hit(60, 0.08, 0.05, rng) if kick else hit(180, 0.05, 0.8, rng), 0.9)
        for half in (0, period / 2):
            add(sound, beat + half, hit(0, 0.02, 1, rng), 0.25)
        for pitch in (220, 277, 330) if number % 4 == 0 else ():
            add(sound, beat, hit(pitch, 0.6, 0, rng), 0.08)
    sound += 0.003 * rng.standard_normal(len(sound))
    return sound / np.abs(sound).max(), beats, beats[::2]


def write_wave(path: Path, sound) -> Path:
    """A sound as a wave file in mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes((np.clip(sound, -1, 1) * 32_000).astype("<i2").tobytes())
    return path


def f_measure(wanted, found, within_s: float) -> float:
    """The F-measure of times that were found, each for one that was wanted."""
    left, hits = list(found), 0
    for time in wanted:
        near = min(left, key=lambda each: abs(each - time), default=None)
        if near is not None and abs(near - time) <= within_s:
            left.remove(near)
            hits += 1
    return 2 * hits / (len(wanted) + len(found)) if len(found) else 0.0
