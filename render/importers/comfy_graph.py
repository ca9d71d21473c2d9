"""ComfyUI's workflows as its API takes them: nodes by their numbers, whose inputs are values or
other nodes' outputs."""

from __future__ import annotations

from collections.abc import Iterator

from render.importers.json_fields import JsonFields
from render.importers.samplers import sampler_loss, scheduler_settings
from render.importers.source import Source

VALUE_KEYS = ("text", "string", "value", "prompt", "int", "float", "number", "Text", "String")
"""Inputs of nodes that only give a value to others."""
DEEPEST = 20


def is_graph(source: Source, *kinds: str) -> bool:
    """Whether a file is such a workflow with a node of these kinds, or one that was saved for the
    editor, in the other format."""
    data = source.data
    if not isinstance(data, dict):
        return False
    nodes = [*data.values(), *(data["nodes"] if isinstance(data.get("nodes"), list) else [])]
    return any(
        isinstance(node, dict) and (node.get("class_type") in kinds or node.get("type") in kinds)
        for node in nodes
    )


def graph_of(source: Source) -> JsonFields:
    """The nodes of a workflow.

    Raises:
        ConfigError: it is none of the API's format.
    """
    fields = JsonFields.of(source)
    if isinstance(fields.values.get("nodes"), list):
        raise fields.refusal(
            "nodes", "is the editor's format; save the workflow in the API's format"
        )
    return fields


def nodes_of(graph: JsonFields, *kinds: str) -> Iterator[JsonFields]:
    """The inputs of the nodes of these kinds, in the order of the file."""
    for key, node in graph.values.items():
        if isinstance(node, dict) and node.get("class_type") in kinds:
            yield graph.inside(key).inside("inputs")


def first_node(graph: JsonFields, *kinds: str) -> JsonFields:
    """The inputs of the first node of these kinds.

    Raises:
        ConfigError: there is none.
    """
    found = next(nodes_of(graph, *kinds), None)
    if found is None:
        raise graph.source.refusal(f"holds no node of {', '.join(kinds)}")
    return found


def followed(graph: JsonFields, inputs: JsonFields, key: str) -> object:
    """The value of an input, through the nodes that give it; None if it is worked out there."""
    value = inputs.values.get(key)
    for _ in range(DEEPEST):
        if not isinstance(value, list):
            return value
        node = graph.values.get(str(value[0])) if value else None
        given = node.get("inputs") if isinstance(node, dict) else None
        if not isinstance(given, dict):
            return None
        value = next((given[name] for name in VALUE_KEYS if name in given), None)
    return None


def whole_input(graph: JsonFields, inputs: JsonFields, key: str) -> int | None:
    """A whole number of an input; None if it is none."""
    value = followed(graph, inputs, key)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and isinstance(value, int) else None


def graph_settings(graph: JsonFields) -> tuple[dict[str, object], int | None, list[str]]:
    """(settings, seed, sentences about the lost) of a workflow's first sampler and its size."""
    settings: dict[str, object] = {}
    lost: list[str] = []
    for inputs in nodes_of(graph, "VHS_VideoCombine", "CreateVideo", "SaveAnimatedWEBP"):
        rate = inputs.values.get("frame_rate", inputs.values.get("fps"))
        if isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0:
            settings["output.fps"] = rate
            break
    for inputs in nodes_of(graph, "EmptyLatentImage"):
        for key in ("width", "height"):
            if side := whole_input(graph, inputs, key):
                settings[f"output.{key}"] = side
        break
    for inputs in nodes_of(graph, "CheckpointLoaderSimple"):
        if inputs.has("ckpt_name"):
            lost.append(f"the model, {inputs.text('ckpt_name')}: choose one (model=…)")
        break
    sampled, seed = sampler_settings(graph, lost)
    return {**settings, **sampled}, seed, lost


def sampler_settings(graph: JsonFields, lost: list[str]) -> tuple[dict[str, object], int | None]:
    """(settings, seed) of the first sampler. A sampler that render has not is added to the lost."""
    settings: dict[str, object] = {}
    for inputs in nodes_of(graph, "KSampler", "KSamplerAdvanced"):
        name = followed(graph, inputs, "sampler_name")
        if isinstance(name, str):
            settings = scheduler_settings(name, inputs.values.get("scheduler") == "karras")
            lost += [] if settings else [sampler_loss(name)]
        if steps := whole_input(graph, inputs, "steps"):
            settings["scheduler.steps"] = steps
        guidance = followed(graph, inputs, "cfg")
        if isinstance(guidance, int | float) and not isinstance(guidance, bool):
            settings["sampling.guidance"] = guidance
        key = "seed" if "seed" in inputs.values else "noise_seed"
        return settings, whole_input(graph, inputs, key)
    return settings, None
