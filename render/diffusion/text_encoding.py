"""Texts are encoded once: all that a run needs before its first frame; then the encoders may go.

What the pipelines ask of their text encoders afterwards, one prompt for all rows of a call, only
gives the call its shape: every row of it is replaced (blended_denoiser.py).
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from render.diffusion.family_pipeline import FamilyPipeline
from render.diffusion.text_conditionings import REMEMBERED_TEXTS, TextConditionings
from render.kernels.call_arguments import at, joined, row_axes, with_leaves
from render.kernels.cpu_malloc import give_back
from render.kernels.patches import Patches
from render.plan.conditioning import FrameRows, RowText
from render.timeline.spec import FrameSpec

PLACEHOLDER = ""  # the frames' call needs a prompt; every row of it is replaced

OnText = Callable[[int, int], None]
"""(texts encoded, texts to encode)."""


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

        with Patches() as patches:
            patches.replace(pipeline, "encode_prompt", encoded)
            yield


@contextmanager
def overheard(pipeline: Any) -> Iterator[list[Any]]:
    """The answers of the pipeline's text encoding in the block, as they come."""
    encode, answers = pipeline.encode_prompt, []

    def encoded(*args: Any, **kwargs: Any) -> Any:
        answers.append(encode(*args, **kwargs))
        return answers[-1]

    with Patches() as patches:
        patches.replace(pipeline, "encode_prompt", encoded)
        yield answers


class TextReader:
    """Encodes each text once, when it is first needed, or when it is expected.

    Args:
        stock: whose text encoders encode.
        texts: where conditionings are kept.
        may_free: whether the encoders are freed when all texts that are expected are encoded;
            those that LoRAs change never are.
    """

    placeholder: Placeholder

    def __init__(self, stock: FamilyPipeline, texts: TextConditionings, may_free: bool) -> None:
        self.stock, self.texts = stock, texts
        self.may_free = may_free and not stock.adapters.reading
        self.expected: frozenset[RowText] = frozenset()
        self.on_text: OnText | None = None
        self.frees = False

    def expect(self, texts: frozenset[RowText], on_text: OnText | None, last: bool) -> None:
        """Encode these texts before the next frame.

        Args:
            on_text: called after each.
            last: whether no others will be needed, so that the encoders may go.
        """
        self.expected, self.on_text, self.frees = texts, on_text, last and self.may_free

    def read(self, frames: Sequence[FrameRows], others: Sequence[Any] = ()) -> None:
        """Let the pipeline encode each new text alone, and record what reaches the denoiser.

        Args:
            others: pipelines of the same components.
        """
        if not self.texts.axes:
            self.learn_rows()
        needed = {text for frame in frames for row in frame.rows for text, _ in row}
        new = sorted(text for text in needed | self.expected if text not in self.texts)
        for done, text in enumerate(new, start=1):
            self.texts.learn(text, self.stock.recorded_call(text, 1))
            if self.on_text:
                self.on_text(done, len(new))
        if self.expected and self.frees:
            free_encoders([self.stock.pipeline, *others], self.stock.patches)
        self.expected = frozenset()

    def learn_rows(self) -> None:
        """Learn from the placeholder, for one picture and for two, what follows the rows."""
        with overheard(self.stock.pipeline) as answers:
            one, two = (
                self.stock.recorded_call(RowText(PLACEHOLDER), pictures) for pictures in (1, 2)
            )
        self.texts.learn_axes(one, two)
        self.placeholder = Placeholder(*answers)


def texts_of(
    specs: Iterable[FrameSpec], read: Callable[[FrameSpec], FrameRows]
) -> frozenset[RowText]:
    """All texts of these frames and their anchors; none if they are too many to be kept."""
    found: set[RowText] = set()
    for spec in specs:
        for frame in (spec, *(anchor for anchor, _ in spec.early)):
            found.update(text for row in read(frame).rows for text, _ in row)
        if len(found) > REMEMBERED_TEXTS:
            return frozenset()
    return frozenset(found)


def free_encoders(pipelines: Sequence[Any], patches: Patches) -> None:
    """Free the memory of the pipelines' text encoders; they can read nothing afterwards."""
    for pipeline in pipelines:
        for name, part in pipeline.components.items():
            if name.startswith("text_encoder") and part is not None:
                patches.exchange(pipeline, name, None)
    release_memory()


def release_memory() -> None:
    """Give back what nothing holds any more, of main memory and of the GPU's."""
    gc.collect()
    give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
