"""A film as exporters have it, and the protocol of an exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from render.extensions import EXPORTERS as GROUP
from render.extensions import Registry
from render.timeline.spec import FrameSpec


@dataclass(frozen=True, slots=True)
class Mark:
    """A keyframe in a film: when it is and what it shows. `time` and `until` are in seconds; the
    latter is when the next one comes, or the end of the film. `pace` is that of a timeline: `time`,
    `even`, or (share of the time, share of the way) by hand."""

    time: Fraction
    until: Fraction
    values: FrameSpec
    ease: str
    pace: str | tuple[tuple[float, float], ...] = "time"

    @property
    def prompt(self) -> str:
        """Its texts in one, the heaviest first, with weights where there are several."""
        texts = sorted(self.values.prompts, key=lambda pair: -pair[1])
        if len(texts) == 1:
            return texts[0][0]
        return " + ".join(f"{text} ({weight:.2g})" for text, weight in texts)

    @property
    def seed(self) -> str:
        """Its seeds in one, as the prompt."""
        seeds = sorted(self.values.seeds, key=lambda pair: -pair[1])
        if len(seeds) == 1:
            return str(seeds[0][0])
        return " + ".join(f"{seed} ({weight:.2g})" for seed, weight in seeds)


@dataclass(frozen=True, slots=True)
class Outline:
    """A film as exporters have it.

    Attributes:
        name: the film's.
        fps: pictures a second that the film shows.
        count: of the pictures that it shows.
        size: width and height in pixels.
        marks: its keyframes.
        pictures: the folder of the pictures that it shows, absolute; picture k is
            `frame_{k:06}.png`. They need not be rendered yet.
        video: the film's file, absolute; None if the film is pictures alone.
        sound: the file of its sound; None without one.
        loop: whether it leads back to its first keyframe.
        open: whether it leaves out the frame at its end.
        end: the timeline's end in seconds; in a closed film its last frame is there.
    """

    name: str
    fps: Fraction
    count: int
    size: tuple[int, int]
    marks: tuple[Mark, ...]
    pictures: Path
    video: Path | None
    sound: Path | None
    loop: bool = False
    open: bool = False
    end: Fraction = Fraction(0)

    @property
    def duration(self) -> Fraction:
        """The film's length in seconds, in which its last picture is shown for its time."""
        return self.count / self.fps

    def spans(self) -> Iterator[tuple[Fraction, Fraction, Mark]]:
        """(begin, end in seconds, keyframe) of all that is shown for a while, in order."""
        for mark in self.marks:
            if mark.until > mark.time:
                yield mark.time, mark.until, mark


@dataclass(frozen=True, slots=True)
class Exporter:
    """A kind of file that is made of a film.

    Attributes:
        called: the kind in a few words.
        suffix: of the file, as `.srt`.
        write: the file's content. It raises ConfigError where the film can't be written so.
    """

    called: str
    suffix: str
    write: Callable[[Outline], bytes]


EXPORTERS: Registry[Exporter] = Registry(GROUP, Exporter)
"""All exporters by name: our own, and those of other packages."""
