"""The analysis of a sound by librosa: onsets and levels of its bands.

librosa finds onsets to some 10 ms, early or late by how they begin. Each is moved to where the
sound itself rises fastest, so that a picture that changes there changes in the right frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from render.errors import ConfigError, Mistake
from render.timeline.heard import LEVELS_HZ

HZ = 22_000  # samples a second: a level has a whole number of them
HOP, WINDOW = 110, 1024  # samples
EDGES_HZ = {"low": (20.0, 150.0), "mid": (150.0, 2000.0), "high": (2000.0, 10_500.0)}
MEL_BANDS = 96
BEFORE_S, AFTER_S = 0.04, 0.03  # of an onset, where the sound may rise fastest
RISE = 44  # samples over which a rise is measured
LOUD = 0.98  # the share of levels that are below 1
SILENCE = 1e-4  # of full scale
FAINT, FAINT_IN_BAND = 0.002, 0.2  # of a strong onset: fainter ones are none
STRONG = 0.9  # the share of onsets that are no stronger than a strong one
APART_S = 0.05  # onsets of a band are farther from each other

Samples = NDArray[np.float32]
Series = NDArray[np.float64]


def library() -> ModuleType:
    """librosa.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import librosa
    except ImportError:
        what = (
            "a sound is analysed once by librosa, which is not here: pip install 'render[audio]' "
            "(or copy audio.json from a run of this film elsewhere into its folder)"
        )
        raise ConfigError([Mistake("timeline.audio", what)]) from None
    module: ModuleType = librosa
    return module


def strengths(samples: Samples) -> dict[str, Series]:
    """How strongly something begins, every `HOP` samples, by band; `all` is the whole sound."""
    librosa = library()
    mel = librosa.feature.melspectrogram(
        y=samples, sr=HZ, n_fft=WINDOW, hop_length=HOP, n_mels=MEL_BANDS, fmin=20.0, fmax=HZ / 2
    )
    decibels = librosa.power_to_db(mel, ref=np.max, top_db=60.0)
    centres = librosa.mel_frequencies(n_mels=MEL_BANDS + 2, fmin=20.0, fmax=HZ / 2)[1:-1]
    found = {}
    for band, (low, high) in {**EDGES_HZ, "all": (0.0, HZ / 2)}.items():
        rows = decibels[(centres >= low) & (centres < high)]
        found[band] = librosa.onset.onset_strength(S=rows, sr=HZ, hop_length=HOP, lag=2)
    return found


def onsets(samples: Samples, strength: Series, edges: tuple[float, float] | None) -> Series:
    """Times in seconds at which something begins.

    Args:
        strength: of the band, as `strengths` gives it.
        edges: of the band in Hz; None: the whole sound.
    """
    if len(strength) < 3 or not strength.max() > 0:
        return np.zeros(0)
    librosa = library()
    frames = librosa.onset.onset_detect(
        onset_envelope=strength, sr=HZ, hop_length=HOP, units="frames", delta=0.07
    )
    heard = samples if edges is None else filtered(samples, edges)
    times = apart(np.array([rise(heard, frame * HOP / HZ) for frame in frames]))
    rises = loudness(heard, times)
    return times[rises > (FAINT if edges is None else FAINT_IN_BAND)]


def filtered(samples: Samples, edges: tuple[float, float]) -> Samples:
    """A band of a sound."""
    from scipy import signal

    sections = signal.butter(2, edges, "bandpass", fs=HZ, output="sos")
    band: Samples = signal.sosfilt(sections, samples).astype(np.float32)
    return band


def rise(samples: Samples, time: float) -> float:
    """The time near another one at which a sound rises fastest."""
    begin = max(0, round((time - BEFORE_S) * HZ) - RISE)
    part = samples[begin : round((time + AFTER_S) * HZ)].astype(np.float64)
    if len(part) < 3 * RISE:
        return time
    energy = np.concatenate([[0.0], np.cumsum(part**2)])
    level = np.sqrt((energy[RISE:] - energy[:-RISE]) / RISE)  # of samples k to k + RISE
    steps = level[RISE:] - level[:-RISE]  # what follows sample k + RISE beside what was before
    fastest = int(np.argmax(steps))
    reached = steps >= steps[fastest] / 2
    return float(begin + RISE + RISE // 2 + int(np.argmax(reached))) / HZ


def loudness(samples: Samples, times: Series) -> Series:
    """How much louder a sound is behind each time than before it, in parts of a strong onset's."""
    found = []
    for time in times:
        place = round(time * HZ)
        before, after = samples[max(0, place - 220) : place], samples[place : place + 660]
        found.append(max(level_of(after) - level_of(before), 0.0))
    strong = float(np.quantile(found, STRONG)) if found else 0.0
    return np.array(found) / strong if strong > SILENCE else np.zeros(len(times))


def level_of(samples: Samples) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0


def apart(times: Series) -> Series:
    """Times in order, without those that come at once behind another."""
    kept: list[float] = []
    for time in np.sort(times):
        if not kept or time - kept[-1] > APART_S:
            kept.append(float(time))
    return np.array(kept)


def levels(samples: Samples) -> Mapping[str, Series]:
    """How loud each band is in the next 20 ms, `LEVELS_HZ` times a second, from 0 to 1: it is 1 or
    more in the loudest fiftieth of the sound, and is cut off there. A frame at the time of a stroke
    so shows the stroke."""
    found = {}
    for band, edges in {**EDGES_HZ, "all": None}.items():
        heard = samples if edges is None else filtered(samples, edges)
        per = HZ // LEVELS_HZ
        padded = np.concatenate([heard, np.zeros(2 * per - len(heard) % per)])
        squares = (padded**2).reshape(-1, per).mean(axis=1)
        level = np.sqrt((squares[:-1] + squares[1:]) / 2)  # of the 20 ms from then on
        loud = float(np.quantile(level, LOUD))
        found[band] = np.clip(level / loud, 0, 1) if loud > SILENCE else np.zeros(len(level))
    return found
