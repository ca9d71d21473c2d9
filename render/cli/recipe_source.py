"""The config of a recipe as Hydra composes it: over the defaults, under what is asked for."""

from __future__ import annotations

from typing import Any, ClassVar

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

GROUP, CHOICE = "recipe", "given"
OVERRIDE = f"+{GROUP}={CHOICE}"


class RecipeSource(ConfigSource):
    """The one choice of the group `recipe`, whose values go where the whole config has them."""

    given: ClassVar[dict[str, Any]] = {}
    """Values that are literal: nothing in them is interpolated."""

    @staticmethod
    def scheme() -> str:
        return GROUP

    def load_config(self, config_path: str) -> ConfigResult:
        config = OmegaConf.create(self.given, flags={"allow_objects": False})
        header: dict[str, str | None] = {"package": "_global_"}
        return ConfigResult(self.provider, self.full_path(), config, header)

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path == GROUP

    def is_config(self, config_path: str) -> bool:
        return config_path == f"{GROUP}/{CHOICE}"

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return [CHOICE] if self.is_group(config_path) else []
