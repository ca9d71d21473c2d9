"""Classes of components that a family's stock pipeline can't work with, by its model_index.json.

diffusers loads whatever class is named; its pipeline then stumbles over what that class takes or
gives, with the model in memory. Without torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from render.models.families import BUILT_IN
from render.models.family import Family

FRAMEWORKS = {"Flax": "Flax", "TF": "TensorFlow", "Onnx": "ONNX"}
"""How names of classes begin whose weights another framework computes with, and which."""
WITH_TEXTS = "UNet2DConditionModel"
HIDDEN, POOLED, T5 = "CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"
SIMILAR = {
    *(HIDDEN, POOLED, "CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection"),
    *(T5, "T5Model", "T5ForConditionalGeneration"),
}
"""Classes of CLIP and T5, which give their texts' embeddings in different ways, or none."""
ENCODERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "StableDiffusionPipeline": {"text_encoder": (HIDDEN, T5)},
    "StableDiffusionXLPipeline": {"text_encoder": (HIDDEN,), "text_encoder_2": (POOLED,)},
    "StableDiffusion3Pipeline": {
        "text_encoder": (POOLED,),
        "text_encoder_2": (POOLED,),
        "text_encoder_3": (T5,),
    },
    "FluxPipeline": {"text_encoder": (HIDDEN,), "text_encoder_2": (T5,)},
}
"""By pipeline and component: those of `SIMILAR` that it can read texts with."""


def class_flaw(name: str, class_name: str, family: Family) -> str | None:
    """Why a component of a class is not the family's, with the way out, or None."""
    if framework := framework_of(class_name):
        return f"which is {framework}'s; get the model for PyTorch, with .safetensors"
    if family.pipeline not in BUILT_IN:
        return None
    if name == family.denoiser == "unet" and class_name != WITH_TEXTS:
        why = "reads no texts" if class_name == "UNet2DModel" else "is called in another way"
        return f"which {why}; {family.pipeline} needs a {WITH_TEXTS}: use a text-to-image model"
    if name == family.denoiser == "transformer" and "Transformer" not in class_name:
        return f"which is no transformer, as {family.pipeline} needs one; download the model again"
    fitting = ENCODERS.get(family.pipeline, {}).get(name)
    if fitting and class_name in SIMILAR and class_name not in fitting:
        return (
            f"whose embeddings {family.pipeline} can't take; it needs a {' or '.join(fitting)} "
            "there: name it in model_index.json, with such a model's weights in the folder"
        )
    return None


def framework_of(class_name: str) -> str | None:
    """The other framework that a class is for, or None."""
    begun = (name for start, name in FRAMEWORKS.items() if class_name.startswith(start))
    return next(begun, None)
