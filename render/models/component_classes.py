"""Classes of components that a family's stock pipeline can't work with, by its model_index.json.

diffusers loads whatever class is named; its pipeline then stumbles over what that class takes or
gives, with the model in memory. Without torch.
"""

from __future__ import annotations

from render.models.family import Family

FRAMEWORKS = {"Flax": "Flax", "TF": "TensorFlow", "Onnx": "ONNX"}
"""How names of classes begin whose weights another framework computes with, and which."""
SIMILAR = {
    *("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel"),
    *("CLIPVisionModel", "CLIPVisionModelWithProjection"),
    *("T5EncoderModel", "T5Model", "T5ForConditionalGeneration"),
}
"""Classes of CLIP and T5, which give their texts' embeddings in different ways, or none."""


def component_flaw(name: str, class_name: str, family: Family) -> str | None:
    """Why a component of a class is not the family's, with the way out, or None."""
    if framework := framework_of(class_name):
        return f"which is {framework}'s; get the model for PyTorch, with .safetensors"
    if name == family.denoiser and family.denoiser_class not in class_name:
        why = "reads no texts" if class_name == "UNet2DModel" else "is called in another way"
        way = "use a text-to-image model of this family"
        return f"which {why}; {family.pipeline} needs a {family.denoiser_class}: {way}"
    fitting = family.encoders.get(name)
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
