"""SubRip subtitles (.srt) and WebVTT (.vtt): each keyframe's prompt, until the next one comes."""

from __future__ import annotations

from fractions import Fraction

from render.exporters.outline import Exporter, Outline


def srt(film: Outline) -> bytes:
    """SubRip subtitles."""
    blocks = [
        f"{number}\n{clock(begin, ',')} --> {clock(end, ',')}\n{one_line(mark.prompt)}\n"
        for number, (begin, end, mark) in enumerate(film.spans(), 1)
    ]
    return "\n".join(blocks).encode()


def vtt(film: Outline) -> bytes:
    """WebVTT, as browsers show it in a video. `&` and `<` begin markup there."""
    blocks = [
        f"{clock(begin, '.')} --> {clock(end, '.')}\n{escaped(one_line(mark.prompt))}\n"
        for begin, end, mark in film.spans()
    ]
    return "\n".join(["WEBVTT\n", *blocks]).encode()


def clock(time: Fraction, point: str) -> str:
    """Seconds as `00:01:05,500`, cut and not rounded: no frame that shows a text is before it."""
    whole = int(time * 1000)
    minutes, thousandths = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    rest, part = divmod(thousandths, 1000)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{part:03}"


def one_line(text: str) -> str:
    """A text without the empty lines that would end its subtitle."""
    return " ".join(text.split()) or "-"


def escaped(text: str) -> str:
    """A text in which nothing is markup; an arrow would be read as times."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SRT = Exporter("SubRip subtitles of the prompts", ".srt", srt)
VTT = Exporter("WebVTT subtitles of the prompts", ".vtt", vtt)
