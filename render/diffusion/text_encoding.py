"""Texts are read once: all that a run needs before its first frame, and then the readers may go.

What the pipelines ask of their text encoders afterwards, one prompt for all rows of a call, only
gives the call its shape: every row of it is replaced (blend.py).
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from render.diffusion.blended_denoiser import REMEMBERED_TEXTS
from render.kernels.call_arguments import at, joined, row_axes, with_leaves
from render.kernels.cpu_malloc import give_back
from render.plan.conditioning import Branches, Text
from render.timeline.spec import FrameSpec

PLACEHOLDER = ""  # the frames' call needs a prompt; every row of it is replaced


class Placeholder:
    """The text encoding's answer for the placeholder, with any number of rows.

    Args:
        one, two: the answers for one and for two pictures.
    """

    def __init__(self, one: Any, two: Any) -> None:
        self.one, self.axes = one, row_axes(one, two)

    def answer(self, rows: int) -> Any:
        """The one for so many pictures."""
        repeated = {
            path: joined([at(self.one, path)] * rows, axis) for path, axis in self.axes.items()
        }
        return with_leaves(self.one, repeated)

    @contextmanager
    def standing_in(self, pipeline: Any) -> Iterator[None]:
        """Let it answer in the block whatever the pipeline asks its text encoders."""
        takes = inspect.signature(pipeline.encode_prompt)

        def encoded(*args: Any, **kwargs: Any) -> Any:
            asked = takes.bind(*args, **kwargs).arguments
            return self.answer(asked.get("num_images_per_prompt", 1))

        with replaced(pipeline, encoded):
            yield


@contextmanager
def overheard(pipeline: Any) -> Iterator[list[Any]]:
    """What the pipeline's text encoding answers in the block."""
    encode, answers = pipeline.encode_prompt, []

    def encoded(*args: Any, **kwargs: Any) -> Any:
        answers.append(encode(*args, **kwargs))
        return answers[-1]

    with replaced(pipeline, encoded):
        yield answers


@contextmanager
def replaced(pipeline: Any, encode: Callable[..., Any]) -> Iterator[None]:
    """Another text encoding than the pipeline's own, in the block."""
    pipeline.encode_prompt = encode
    try:
        yield
    finally:
        del pipeline.encode_prompt


def texts_of(specs: Iterable[FrameSpec], read: Callable[[FrameSpec], Branches]) -> frozenset[Text]:
    """All texts of these frames and their anchors; none if they are too many to be kept."""
    found: set[Text] = set()
    for spec in specs:
        for frame in (spec, *(anchor for anchor, _ in spec.early)):
            found.update(text for row in read(frame).rows for text, _ in row)
        if len(found) > REMEMBERED_TEXTS:
            return frozenset()
    return frozenset(found)


def let_go(pipelines: Sequence[Any]) -> None:
    """Free the memory of the pipelines' text encoders; they can read nothing afterwards."""
    for pipeline in pipelines:
        for name, part in pipeline.components.items():
            if name.startswith("text_encoder") and part is not None:
                setattr(pipeline, name, None)
    free_memory()


def free_memory() -> None:
    """Give back what nothing holds any more, of main memory and of the GPU's."""
    gc.collect()
    give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
