"""A film resolved: what it renders, with what, and where it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from render.config.output_group import NONE, OutputConfig
from render.config.schema import RunConfig
from render.models.lora_files import Lora
from render.models.resolve import Model
from render.plan.frame_plan import FramePlan
from render.timeline.pace import TimeMap
from render.timeline.spec import Timeline
from render.video import codecs


@dataclass(frozen=True, slots=True)
class ResolvedFilm:
    """One film with everything decided: its plan, its model, its device and its folders."""

    config: RunConfig
    folder: Path
    store: Path
    model: Model
    device: str
    scheduler: str
    """Class name of the scheduler in use; `unknown` for a model that is not downloaded yet."""
    timeline: Timeline
    """With every keyframe's values filled in."""
    plan: FramePlan
    plan_by: Callable[[Mapping[str, TimeMap]], FramePlan]
    """The plan by time maps of segments of even pace, by their digests."""
    images: Mapping[str, Path]
    """Where the pictures lie that frames start from or follow, by their digests."""
    loras: tuple[Lora, ...] = ()
    timeline_file: str = ""
    """The absolute path of the file that the timeline was read from; empty if there is none."""

    @property
    def frames(self) -> Path:
        """Where the run shows its frames."""
        return self.folder / "frames"

    @property
    def shown(self) -> Path:
        """Where the run shows its pictures, if they are not the frames as they were rendered."""
        return self.folder / "shown"

    @property
    def follows(self) -> bool:
        """Whether values of it change by themselves, with the time or the sound."""
        return any(keyframe.follows for keyframe in self.timeline.keyframes)

    @property
    def output(self) -> OutputConfig:
        """The video's settings with nothing left open."""
        return codecs.resolved(self.config.output, self.config.timeline.loop)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, in pixels."""
        return self.plan.recipe.width, self.plan.recipe.height

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height of every picture that the film shows, in pixels."""
        factor = self.plan.finish.factor if self.plan.finish else 1
        return factor * self.plan.recipe.width, factor * self.plan.recipe.height

    @property
    def is_of_its_own_size(self) -> bool:
        """Whether the film is as large as its model makes them, with the model's own upscaler."""
        asked, own = self.config.output.upscale, self.config.model.upscaler
        usual = asked is None or (asked == NONE and own is None)
        return usual and self.size == (self.model.width, self.model.height)
