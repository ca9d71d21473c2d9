"""Classes in a model's index that its family can't work with end a plan, with what it needs."""

import json

import pytest
from films import write_model

from render.errors import ConfigError
from render.models.component_classes import component_flaw
from render.models.families import BUILT_IN
from render.models.safety import check_index

SD, XL, SD3, FLUX = (
    BUILT_IN[f"{name}Pipeline"]
    for name in ("StableDiffusion", "StableDiffusionXL", "StableDiffusion3", "Flux")
)
HIDDEN, POOLED = "CLIPTextModel", "CLIPTextModelWithProjection"


@pytest.fixture
def refused(place, tmp_path):
    """The error of a plan with another class for one component."""
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}])
    place.model = write_model(tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"

    def of(name, library, class_name):
        index.write_text(json.dumps({**json.loads(index.read_text()), name: [library, class_name]}))
        ended = place.render("+timeline=t", "mode=plan")
        assert ended.code == 2, ended.out
        start = f"render: {index}: component {name!r} is a {class_name}, "
        assert ended.err.startswith(start)
        return ended.err.removeprefix(start)

    return of


@pytest.mark.parametrize(
    ("name", "library", "class_name", "said"),
    [
        (
            "unet",
            "diffusers",
            "UNet2DModel",
            "reads no texts; StableDiffusionPipeline needs a UNet",
        ),
        ("unet", "diffusers", "UNet3DConditionModel", "needs a UNet2DConditionModel"),
        ("unet", "diffusers", "FlaxUNet2DConditionModel", "which is Flax's; get the model for Py"),
        ("vae", "diffusers", "OnnxRuntimeModel", "which is ONNX's; get the model for PyTorch"),
        ("text_encoder", "transformers", "TFCLIPTextModel", "which is TensorFlow's"),
        ("text_encoder", "transformers", POOLED, "it needs a CLIPTextModel or T5EncoderModel"),
    ],
)
def test_a_class_that_the_family_can_not_take_is_refused_in_the_plan(
    refused, name, library, class_name, said
):
    assert said in refused(name, library, class_name)


@pytest.mark.parametrize(
    ("family", "name", "class_name", "right"),
    [
        (SD, "text_encoder", HIDDEN, True),
        (SD, "text_encoder", "BertModel", True),
        (SD, "text_encoder", "CLIPVisionModel", False),
        (XL, "text_encoder", POOLED, False),
        (XL, "text_encoder_2", POOLED, True),
        (XL, "text_encoder_2", HIDDEN, False),
        (SD3, "text_encoder", HIDDEN, False),
        (SD3, "text_encoder_3", "T5EncoderModel", True),
        (FLUX, "text_encoder", POOLED, False),
        (FLUX, "text_encoder_2", "T5ForConditionalGeneration", False),
        (FLUX, "transformer", "UNet2DConditionModel", False),
        (FLUX, "transformer", "FluxTransformer2DModel", True),
    ],
)
def test_which_classes_a_family_takes(family, name, class_name, right):
    assert (component_flaw(name, class_name, family) is None) == right


@pytest.mark.parametrize("kind", ["FlaxStableDiffusion", "OnnxStableDiffusion"])
def test_a_pipeline_of_another_framework_is_refused_by_it(tmp_path, kind):
    model = write_model(tmp_path / "model", f"{kind}Pipeline")
    with pytest.raises(ConfigError, match=r"get the model for PyTorch, with \.safetensors"):
        check_index(model / "model_index.json")
