"""What a person wrote, as frozen types: the shape of the composed config and its simple rules.

Nothing here knows Hydra, files or torch; parsing.py makes them of a composed config.
"""

from __future__ import annotations

import re
from fractions import Fraction
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
    field_validator,
    model_validator,
)

from render.config.values import (
    MAX_SEED,
    Moment,
    easing,
    exact,
    file_path,
    lora_weight,
    lora_weights,
    mistake,
    moment,
    number,
    seeds,
    shown,
    text,
    texts,
)

Mode = Literal["render", "plan", "stitch", "prune"]
Blend = Literal["noise", "embedding"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Format = Literal["mp4", "webm", "av1", "prores", "gif", "webp", "apng", "frames"]

MAX_SIDE = 16_384
MOST = 1024  # frames a call, threads
NAME_PATTERN = re.compile(r"[^\W_][\w .,=+@()-]{0,99}", re.ASCII)


Exact = Annotated[Fraction, BeforeValidator(exact)]
Text = Annotated[str, BeforeValidator(text)]
Number = Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)]
Steps = Annotated[StrictInt, Field(ge=1, le=1000)]
Side = Annotated[StrictInt, Field(ge=8, le=MAX_SIDE)]
Guidance = Annotated[Number, Field(ge=0, le=100)]
Part = Annotated[Number, Field(ge=0, le=1)]
Strength = Part
FilePath = Annotated[Path, BeforeValidator(file_path)]


class Frozen(BaseModel):
    """Unknown keys are mistakes; values never change after they are read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class EmbeddingConfig(Frozen):
    """A word that was learned (textual inversion): its file, and how prompts spell it."""

    path: FilePath
    token: StrictStr

    @field_validator("token")
    @classmethod
    def is_a_word(cls, token: str) -> str:
        """It must come out of the tokenizer in one piece."""
        if not re.fullmatch(r"[^\s,]{1,100}", token):
            raise mistake(f"{shown(token)} is no single word")
        return token


class LoraConfig(Frozen):
    """One of `model.loras`: a file of additions to the model's weights, and how much of them."""

    path: FilePath | None = None
    repository: StrictStr | None = None
    revision: StrictStr | None = None
    weight_name: StrictStr | None = None
    weight: Annotated[float, BeforeValidator(lora_weight)] = 1.0
    name: StrictStr | None = None

    @property
    def called(self) -> str:
        """What keyframes call it: its name, else its file's, folder's or repository's."""
        found = self.weight_name or self.path or self.repository
        return self.name or Path(str(found)).name.removesuffix(".safetensors")

    @model_validator(mode="after")
    def has_a_source(self) -> LoraConfig:
        """A LoRA is a file, a folder or a repository of the hub."""
        if (self.path is None) == (self.repository is None):
            raise mistake(
                "give the LoRA's path (a .safetensors file or its folder) or its repository"
                if self.path is None
                else "path and repository exclude each other; keep one"
            )
        if self.revision is not None and self.repository is None:
            raise mistake("revision goes with a repository; a file is known by its content")
        if self.weight_name and not self.weight_name.endswith(".safetensors"):
            raise mistake("weight_name is that of a .safetensors file; pickles can run code")
        if not self.called:
            raise mistake("give the LoRA a name")
        return self


class ControlConfig(Frozen):
    """A ControlNet for the whole film: its folder, and the picture or pictures that it follows."""

    path: FilePath
    image: FilePath
    scale: Annotated[Number, Field(ge=0, le=10)] = 1.0


class ModelConfig(Frozen):
    """`model/`: where the weights are, and what the model is used to."""

    name: StrictStr
    family: StrictStr | None = None
    repository: StrictStr | None = None
    revision: StrictStr | None = None
    variant: StrictStr | None = None
    path: FilePath | None = None
    config: FilePath | None = None
    vae: FilePath | None = None
    clip_skip: Annotated[StrictInt, Field(ge=1, le=32)] | None = None
    long_prompts: StrictBool = False
    embeddings: tuple[EmbeddingConfig, ...] = ()
    controlnet: ControlConfig | None = None
    width: Side | None = None
    height: Side | None = None
    multiple: Annotated[StrictInt, Field(ge=1)] = 8
    steps: Steps
    guidance: Guidance | None = None
    dtype: Dtype = "auto"
    loras: tuple[LoraConfig, ...] = ()

    @field_validator("loras", mode="before")
    @classmethod
    def are_a_list(cls, value: object) -> object:
        """One LoRA is a list of one."""
        if value is not None and not isinstance(value, list | tuple):
            raise mistake("LoRAs are a list: [{path: paint.safetensors, weight: 0.8}]")
        return value or ()

    @field_validator("loras")
    @classmethod
    def have_names_of_their_own(cls, loras: tuple[LoraConfig, ...]) -> tuple[LoraConfig, ...]:
        """Keyframes say which one they mean."""
        names = [lora.called for lora in loras]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise mistake(f"two LoRAs are called {shown(twice[0])}; give each a name of its own")
        return loras

    @model_validator(mode="after")
    def has_a_source(self) -> ModelConfig:
        """A model is a folder or a repository of the hub, never both and never neither."""
        if (self.path is None) == (self.repository is None):
            raise mistake(
                "give model.path, a diffusers folder: model=local model.path=./my-model"
                if self.path is None
                else "model.path and model.repository exclude each other; keep one"
            )
        if self.path is not None and self.revision is not None:
            raise mistake(
                "model.revision goes with a repository, and a folder is known by its content; "
                "leave it out: model=local model.path=…"
            )
        return self

    @model_validator(mode="after")
    def has_the_configs_of_a_file(self) -> ModelConfig:
        """A folder has its own configs, and no single file has variants."""
        single = self.path is not None and self.path.suffix.lower() == ".safetensors"
        if self.config is not None and not single:
            raise mistake("model.config goes with a single .safetensors file in model.path")
        if self.variant is not None and single:
            raise mistake("model.variant chooses among a folder's files; model.path is one file")
        return self


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

    guidance: Guidance | None = None
    blend: Blend = "noise"
    negative: Text = ""
    seed: Annotated[StrictInt, Field(ge=0, le=MAX_SEED)] = 0
    speed: Literal["exact", "balanced", "draft"] = "exact"
    guidance_interval: tuple[Part, Part] | None = None
    anchors: Annotated[StrictInt, Field(ge=0, le=1000)] | None = None
    early_steps: Part | None = None
    deep_cache: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
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


class OutputConfig(Frozen):
    """`output/`: the frames' size and rate, and the video that is made of them."""

    format: Format = "mp4"
    fps: Exact = Fraction(12)
    width: Side | None = None
    height: Side | None = None
    quality: Annotated[StrictInt, Field(ge=0, le=100)] = 80
    audio: FilePath | None = None
    chroma: Literal[420, 444] | None = None
    repeat: int | Literal["forever"] | None = None

    @field_validator("repeat", mode="before")
    @classmethod
    def is_a_count(cls, value: object) -> object:
        """How often it is shown, or `forever`."""
        whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
        if value is not None and value != "forever" and not whole:
            raise mistake(f"a whole number from 1 to {MOST} or forever, not {shown(value)}")
        return value

    @field_validator("fps")
    @classmethod
    def within_reach(cls, fps: Fraction) -> Fraction:
        """Between a slide show and the fastest screens."""
        if not Fraction(1, 100) <= fps <= 1000:
            raise mistake(f"{fps} frames a second; give 0.01 to 1000")
        return fps


class ComputeConfig(Frozen):
    """`compute/`: where it runs. Part of a frame's identity is only what changes its pixels: the
    dtype, a tiled VAE, quantised weights."""

    device: StrictStr = "auto"
    dtype: Dtype = "auto"
    batch: int | Literal["auto"] = "auto"
    threads: int | Literal["auto"] = "auto"
    offload: Literal["none", "model", "sequential"] = "none"
    vae_tiling: StrictBool = False
    quantised: Literal["none", "int8"] = "none"
    engine: Literal["torch", "compiled", "openvino"] = "torch"

    @property
    def loaded(self) -> Literal["none", "int8"]:
        """What the denoiser's weights are loaded in; OpenVINO quantises what it converts."""
        return "none" if self.engine == "openvino" else self.quantised

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


When = Annotated[Moment, BeforeValidator(moment)]


class KeyframeConfig(Frozen):
    """One keyframe as written; what it leaves out continues from the one before."""

    at: When
    prompt: Annotated[dict[str, float], BeforeValidator(texts)] | None = None
    seed: Annotated[dict[int, float], BeforeValidator(seeds)] | None = None
    negative: Text | None = None
    guidance: Guidance | None = None
    image: FilePath | None = None
    strength: Strength | None = None
    lora: Annotated[dict[str, float], BeforeValidator(lora_weights)] | None = None
    ease: Annotated[str | tuple[float, float, float, float], BeforeValidator(easing)] = "linear"


class TimelineConfig(Frozen):
    """`timeline/`: what the picture should be, and when."""

    name: StrictStr | None = None
    keyframes: dict[str, KeyframeConfig]
    loop: StrictBool = False
    end: Literal["closed", "open"] = "closed"
    duration: When | None = None

    @field_validator("keyframes", mode="before")
    @classmethod
    def as_mapping(cls, value: object) -> object:
        """A list is a mapping whose keys are the places 0, 1, 2 …"""
        if isinstance(value, list | tuple):
            value = {str(place): keyframe for place, keyframe in enumerate(value)}
        if not isinstance(value, dict) or not value:
            raise mistake("keyframes are a list or a mapping with at least one keyframe")
        return {str(key): keyframe for key, keyframe in value.items()}


class RunConfig(Frozen):
    """The whole run, as a person declared it."""

    root: FilePath = Path("outputs")
    name: StrictStr
    mode: Mode = "render"
    prune: Literal["ask", "yes", "no"] = "ask"
    shard: Annotated[tuple[int, int] | None, Field(default=None)]
    model: ModelConfig
    scheduler: SchedulerConfig
    sampling: SamplingConfig = SamplingConfig()
    output: OutputConfig = OutputConfig()
    compute: ComputeConfig = ComputeConfig()
    timeline: TimelineConfig

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
