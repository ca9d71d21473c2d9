"""The protocol of engines, which compute a model's networks: input, output and obligations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from render.config.schema import ComputeConfig, RunConfig
from render.errors import Mistake
from render.models.resolve import Model

if TYPE_CHECKING:
    from render.diffusion.call_layout import RowsPerCall
    from render.diffusion.controlnet import Residuals
    from render.diffusion.family_pipeline import FamilyPipeline
    from render.kernels.patches import Patches
    from render.kernels.shared_prefix import Prefix


@dataclass(frozen=True)
class Opened:
    """A loaded model, on its device, before any frame is rendered."""

    stock: FamilyPipeline
    """The stock pipeline with its LoRAs."""
    compute: ComputeConfig
    rows: RowsPerCall
    """Rows of a usual call; fewer after a GPU was out of memory."""
    residuals: Residuals | None = None
    """A ControlNet beside the denoiser."""
    on_notice: Callable[[str], None] = lambda notice: None
    """Shows one line to the person who waits."""

    @property
    def pipeline(self) -> Any:
        """The diffusers pipeline."""
        return self.stock.pipeline

    @property
    def denoiser(self) -> Any:
        """Its U-Net or transformer."""
        return self.stock.denoiser

    @property
    def patches(self) -> Patches:
        """The owner of every replaced attribute of a library's object."""
        return self.stock.patches

    @property
    def on_cpu(self) -> bool:
        """Whether all parts are in main memory and stay there."""
        return self.stock.device.type == "cpu" and self.compute.offload == "none"


@dataclass(frozen=True)
class Abilities:
    """The abilities of an engine besides computing whole networks in float32. They are known in a
    plan, before anything is loaded. The defaults are right for every engine, if not always best."""

    quantises_as: str = ""
    """A name in the identity of frames in 8 bits, for an engine that quantises the networks itself
    after they are loaded (`compute.quantised`). Another name is needed when those frames would come
    out differently, as `mine 2`. Empty: weights are quantised while they are loaded, by torchao."""
    float16_on_cpus: bool = False
    """Whether it computes in float16 on a CPU, for which torch has hardly any arithmetic."""
    takes_quantised: bool = False
    """Whether it computes with weights that torchao quantised while they were loaded; then a model
    that does not fit is answered with `compute.quantised=int8`, too."""
    serves_other_recipes: bool = False
    """Whether what it made of a model serves other steps, schedulers, anchors and pictures, so that
    a sweep over those keeps the model loaded."""
    compiles: bool = False
    """Whether torch compiles for it; a command then keeps the machine code in the user's cache."""


@dataclass(frozen=True)
class Computation:
    """How an engine computes the denoiser."""

    compute: Callable[..., Any]
    """The denoiser's arguments by name to a tuple, whose first is the rows' predictions."""
    prefix: Prefix | None = None
    """The layers that a frame's rows have in common, where they are computed once."""


class Engine(Protocol):
    """Computes the denoiser, and mostly the decoder.

    A class like this is an engine once it is registered under its name (registry.py); it takes no
    arguments. A config then chooses it by `compute.engine`. Its module imports no torch at its top,
    since a plan asks for its mistakes, too.

    An engine is no part of a frame's identity. So it must keep:

    - The picture is that of torch, to within a level of 255 in float32.
    - A row's prediction is bit for bit the same whichever rows stand beside it in a call of the
      same number of rows: a frame must not depend on its neighbours.
    - Any number of rows may come, and texts of any length that the family has.
    - Attributes of the pipeline are replaced through `Opened.patches` alone, and nothing of the
      process (threads, allocator, loggers) is changed.

    A class that can do more says so in an attribute `abilities` (registry.py reads it); nobody asks
    for an engine by its name.
    """

    def mistakes(self, config: RunConfig, device: str, model: Model) -> Iterator[Mistake]:
        """The reasons why it can't render this film on that device, with what is installed; each
        with a key and the way out. Called before any model is loaded."""
        ...

    def start(self, opened: Opened) -> Computation:
        """Get ready to compute.

        Raises:
            ConfigError: it turns out only now that it can't.
        """
        ...
