"""The config that a person wrote, as frozen types: the shape of the composed config and its simple
rules.

Nothing here knows Hydra, files or torch; parse.py makes them from a composed config.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from render.config.changing import (
    Curves,
    Ease,
    GuidanceOverTime,
    LorasOverTime,
    PromptOverTime,
    Sounds,
    StrengthOverTime,
    When,
)
from render.config.fields import (
    MOST,
    BlendName,
    Dtype,
    Exact,
    FilePath,
    Frozen,
    GuidanceScale,
    Number,
    Part,
    Steps,
    Text,
    chosen,
)
from render.config.model_group import ModelConfig
from render.config.output_group import OutputConfig
from render.config.part import FrameRange, frame_ranges, part_name
from render.config.values import (
    MAX_SEED,
    mistake,
    pace,
    seeds,
    shown,
)
from render.extensions import ENGINES

ModeName = Literal["render", "plan", "stitch", "prune", "measure", "keyframes"]
EngineName = Annotated[str, chosen(ENGINES)]
NAME_PATTERN = re.compile(r"[^\W_][\w .,=+@()-]{0,99}", re.ASCII)


class SchedulerConfig(BaseModel):
    """`scheduler/`: a diffusers class (`null`: the model's own), steps, and the class's options."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    name: StrictStr
    class_name: StrictStr | None = Field(default=None, alias="class")
    steps: Steps | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The keys that go to the diffusers class as they are."""
        return dict(self.model_extra or {})


class SamplingConfig(Frozen):
    """`sampling`: how prompts meet in the denoiser, and what keyframes fall back to."""

    guidance: GuidanceScale | None = None
    blend: BlendName | None = None
    path: Literal["plain", "smooth"] = "plain"
    path_parts: Annotated[StrictInt, Field(ge=2, le=1000)] | None = None
    negative: Text = ""
    seed: Annotated[StrictInt, Field(ge=0, le=MAX_SEED)] = 0
    speed: Literal["exact", "balanced", "draft"] = "exact"
    guidance_interval: tuple[Part, Part] | None = None
    anchors: Annotated[StrictInt, Field(ge=0, le=1000)] | None = None
    early_steps: Part | None = None
    trunk: Part | None = None
    deep_cache: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    block_cache: Part | None = None
    every: Annotated[StrictInt, Field(ge=1, le=1000)] | None = None
    fewer_steps: Annotated[Number, Field(gt=0, le=1)] | None = None
    shrink: Annotated[StrictInt, Field(ge=1, le=8)] | None = None

    @field_validator("guidance_interval")
    @classmethod
    def is_in_order(cls, interval: tuple[float, float] | None) -> tuple[float, float] | None:
        """From a part of the steps to a later one."""
        if interval and interval[0] >= interval[1]:
            raise mistake(f"{list(interval)} holds no step; give [from, to], as [0, 0.8]")
        return interval


class ComputeConfig(Frozen):
    """`compute/`: where it runs. Part of a frame's identity is only what changes its pixels: the
    dtype, a tiled VAE, quantised weights, and in 16 bits the kernels."""

    device: StrictStr = "auto"
    dtype: Dtype = "auto"
    batch: int | Literal["auto"] = "auto"
    threads: int | Literal["auto"] = "auto"
    offload: Literal["none", "model", "sequential"] = "none"
    vae_tiling: StrictBool = False
    quantised: Literal["none", "int8"] = "none"
    engine: EngineName = "torch"
    kernels: Literal["auto", "stock"] = "auto"

    @field_validator("device")
    @classmethod
    def names_a_device(cls, device: str) -> str:
        """`cuda:1` is the second GPU."""
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", device, re.ASCII):
            raise mistake(f"{shown(device)} is not known; known: auto, cpu, mps, cuda or cuda:1 …")
        return device

    @field_validator("batch", "threads", mode="before")
    @classmethod
    def counts(cls, value: object) -> object:
        """Frames a denoiser call, or threads; or `auto`."""
        whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
        if value != "auto" and not whole:
            raise mistake(f"a whole number from 1 to {MOST} or auto, not {shown(value)}")
        return value


Pace = Annotated[Literal["time", "even"] | dict[float, float], BeforeValidator(pace)]
"""How a segment's frames are placed; a mapping is shares of its time to shares of the way."""


Bpm = Annotated[Exact, Field(ge=1, le=1000)]


class TempoChange(Frozen):
    """Beats a minute from a beat or bar on."""

    at: When
    bpm: Bpm


def tempo(value: object, changes: ValidatorFunctionWrapHandler) -> tuple[TempoChange, ...]:
    """One tempo for the whole film, its changes, or that of the film's sound, which has none."""
    if value == "audio":
        return ()
    if isinstance(value, list | tuple) and value:
        found: tuple[TempoChange, ...] = changes(value)
        return found
    if isinstance(value, dict) or value in ([], ()):
        raise mistake(
            'a tempo is a number, audio, or a list of changes: [{at: "beat 1", bpm: 128}, …]'
        )
    if isinstance(value, str) and not re.match(r"\s*[-+.\d]", value):
        raise mistake(f"{shown(value)} is no tempo; a number of beats a minute, or audio")
    found = changes([{"at": "beat 1", "bpm": value}])
    return found


TempoChanges = Annotated[tuple[TempoChange, ...], WrapValidator(tempo)]


class KeyframeConfig(Frozen):
    """One keyframe as written; what it leaves out continues from the one before."""

    at: When
    prompt: PromptOverTime | None = None
    seed: Annotated[dict[int, float], BeforeValidator(seeds)] | None = None
    negative: Text | None = None
    guidance: GuidanceOverTime | None = None
    image: FilePath | None = None
    strength: StrengthOverTime | None = None
    lora: LorasOverTime | None = None
    ease: Ease = "linear"
    pace: Pace | None = None


class TimelineConfig(Frozen):
    """`timeline/`: what the picture should be, and when."""

    name: StrictStr | None = None
    keyframes: dict[str, KeyframeConfig]
    loop: StrictBool = False
    end: Literal["closed", "open"] = "closed"
    duration: When | None = None
    tempo: TempoChanges | None = None
    offset: When | None = None
    bar: Annotated[StrictInt, Field(ge=1, le=64)] | None = None
    pace: Pace = "time"
    audio: Sounds | None = None
    curves: Curves = Curves()

    @property
    def takes_heard_tempo(self) -> bool:
        """Whether beats are where they are in the film's sound."""
        return self.tempo == ()

    @field_validator("keyframes", mode="before")
    @classmethod
    def as_mapping(cls, value: object) -> object:
        """A list is a mapping whose keys are the places 0, 1, 2 …"""
        if isinstance(value, list | tuple):
            value = {str(place): keyframe for place, keyframe in enumerate(value)}
        if not isinstance(value, dict) or not value:
            raise mistake("keyframes are a list or a mapping with at least one keyframe")
        return {str(key): keyframe for key, keyframe in value.items()}


class MeasureConfig(Frozen):
    """`measure`: the facts about an input that it does not hold itself, and another measure."""

    keyframes: tuple[When, ...] | None = None
    lpips: FilePath | None = None

    @field_validator("keyframes", mode="before")
    @classmethod
    def is_a_list(cls, value: object) -> object:
        """Times or frames, in any order."""
        if value is not None and not isinstance(value, list | tuple):
            raise mistake(f'a list of times belongs here, [0, 1.5, "36f"], not {shown(value)}')
        return value


FrameRanges = Annotated[tuple[FrameRange, ...], BeforeValidator(frame_ranges)]


class RunConfig(Frozen):
    """The whole run, as a person declared it."""

    root: FilePath = Path("outputs")
    name: StrictStr
    mode: ModeName = "render"
    prune: Literal["ask", "yes", "no"] = "ask"
    report: Literal["auto", "rich", "plain", "json", "none"] = "auto"
    shard: Annotated[tuple[int, int] | None, Field(default=None)]
    frames: FrameRanges | None = None
    at: When | None = None
    page: StrictBool = True
    input: FilePath | None = None
    measure: MeasureConfig = MeasureConfig()
    model: ModelConfig
    scheduler: SchedulerConfig
    sampling: SamplingConfig = SamplingConfig()
    output: OutputConfig = OutputConfig()
    compute: ComputeConfig = ComputeConfig()
    timeline: TimelineConfig

    @property
    def blend(self) -> str:
        """The name of the blend: the one that is asked for, else the model's."""
        return self.sampling.blend or self.model.blend

    @property
    def part(self) -> str | None:
        """A name for the part of the film that is rendered; None: the whole."""
        chosen: list[object] = [self.frames, self.at]
        return part_name(self.shard, *chosen, *(["keyframes"] if self.mode == "keyframes" else []))

    @field_validator("name")
    @classmethod
    def names_a_folder(cls, name: str) -> str:
        """A run's name becomes a folder and a file, so it is one plain file name."""
        if not NAME_PATTERN.fullmatch(name):
            raise mistake(
                f"{shown(name)} can't name a folder; use letters, digits and -_.,=+@() "
                "(it begins with a letter or digit; 100 characters at most)"
            )
        return name

    @field_validator("root", mode="before")
    @classmethod
    def is_a_folder(cls, root: object) -> object:
        """NUL and newline can't be in a folder's name that people type."""
        if isinstance(root, str) and (not root.strip() or re.search(r"[\x00-\x1f]", root)):
            raise mistake(f"{shown(root)} can't be a folder")
        return root

    @field_validator("prune", mode="before")
    @classmethod
    def is_an_answer(cls, value: object) -> object:
        """YAML reads a plain `yes` as true."""
        return ("yes" if value else "no") if isinstance(value, bool) else value

    @field_validator("shard", mode="before")
    @classmethod
    def is_a_share(cls, value: object) -> object:
        """`0/4` is the first of four shards."""
        if value is None:
            return None
        parts = re.fullmatch(r"(\d{1,6})/(\d{1,6})", value) if isinstance(value, str) else None
        if not parts or int(parts[1]) >= int(parts[2]):
            raise mistake(f"shard is i/n with i from 0 to n-1 (0/4 … 3/4), not {shown(value)}")
        return int(parts[1]), int(parts[2])
