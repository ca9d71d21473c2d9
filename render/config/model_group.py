"""`model/`: the group of the config that names a model and what is added to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from render.config.fields import (
    BlendName,
    Dtype,
    FilePath,
    Frozen,
    GuidanceScale,
    Number,
    Side,
    Steps,
)
from render.config.values import lora_weight, mistake, shown


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
        """The name that keyframes use: its own, else its file's, folder's or repository's."""
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
    guidance: GuidanceScale | None = None
    blend: BlendName = "noise"
    dtype: Dtype = "auto"
    loras: tuple[LoraConfig, ...] = ()
    upscaler: FilePath | None = None

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
