"""The text `prompt` of pictures by ComfyUI: its graph of nodes as the API takes it.

    {"3": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["6", 0], …}}, …}

An input is a value, or a link to another node: its number, and which of its outputs. Nothing is
computed: values are followed through nodes that only hold them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from render.importers.picture_film import Picture
from render.text import plain_line

TEXTS = ("text", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "string", "prompt", "value")
MOST_NODES = 1_000
SEEDS = ("seed", "noise_seed")
HOLDERS = ("value", "int", "float", "number", "Value", *SEEDS)
"""Names of inputs of nodes that hold a single value for others."""
PARTS = ("noise", "guider", "sampler", "sigmas")
"""Inputs of a sampler whose settings are in nodes of their own."""
LATENTS = ("latent_image", "latent", "samples", "pixels", "image")
SCHEDULERS = {
    "euler": "euler",
    "euler_ancestral": "euler_a",
    "lms": "lms",
    "heun": "heun",
    "dpmpp_2m": "dpmpp_2m",
    "ddim": "ddim",
    "uni_pc": "unipc",
    "lcm": "lcm",
}
"""Schedulers by its names."""
ZEROES = "ConditioningZeroOut"
EMBEDS_GUIDANCE = "FluxGuidance"
"""The node whose guidance is the one of a distilled model; its sampler has a scale of 1."""
COMBINES = "ConditioningCombine"
"""The node that adds predictions with equal weights, as a blend does here."""
MEANT = (
    *("SaveImage", "PreviewImage", "VAEDecode", "CLIPTextEncode", "Note", "Primitive"),
    *("Loader", "Empty", "Sampler", COMBINES, ZEROES, EMBEDS_GUIDANCE),
)
"""Parts of the names of nodes that are read, or that change no picture."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by their numbers, each with a class and its inputs."""

    nodes: Mapping[str, tuple[str, Mapping[str, Any]]]

    def inputs(self, node: str) -> Mapping[str, Any]:
        """The inputs of a node; none if it is not there."""
        return self.nodes[node][1] if node in self.nodes else {}

    def linked(self, value: object) -> str | None:
        """The node that an input links to; None if it is a value."""
        if not isinstance(value, list) or len(value) != 2:
            return None
        name = str(value[0]) if isinstance(value[0], str | int) else ""
        return name if name in self.nodes else None

    def behind(self, start: object, names: tuple[str, ...] | None = None) -> Iterator[str]:
        """The nodes behind a link, the nearest first, each once.

        Args:
            names: of the inputs that are followed; None: all.
        """
        first = self.linked(start)
        waiting = deque([first] if first else [])
        seen = set(waiting)
        while waiting:
            node = waiting.popleft()
            yield node
            for name, value in self.inputs(node).items():
                following = self.linked(value) if names is None or name in names else None
                if following and following not in seen:
                    seen.add(following)
                    waiting.append(following)

    def value(self, node: str, *names: str) -> object:
        """The value of the first of these inputs, there or in a node that holds it; else None."""
        for name in names:
            found = self.inputs(node).get(name)
            if found is not None and self.linked(found) is None:
                return found if not isinstance(found, list | dict) else None
            for holder in self.behind(found, HOLDERS):
                for key in (*names, *HOLDERS):
                    held = self.inputs(holder).get(key)
                    if isinstance(held, int | float | str) and not isinstance(held, bool):
                        return held
        return None


def graph_of(text: str) -> Graph | None:
    """The graph of a text; None if it is none."""
    try:  # ComfyUI writes NaN, which is no JSON
        data = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or len(data) > MOST_NODES:
        return None
    nodes = {
        name: (node["class_type"], node["inputs"])
        for name, node in data.items()
        if isinstance(node, dict)
        if isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    }
    return Graph(nodes) if nodes else None


def samplers(graph: Graph) -> list[str]:
    """The nodes that make pictures, those first that begin with an empty one."""
    found = [
        node
        for node, (called, inputs) in graph.nodes.items()
        if "Sampler" in called and graph.linked(inputs.get("latent_image"))
    ]
    return sorted(found, key=lambda node: size_of(graph, node)[0] is None)


def picture_of(graph: Graph) -> Picture | None:
    """The picture of a graph; None if nothing in it makes one."""
    found = samplers(graph)
    if not found:
        return None
    node, *others = found
    lost: list[str] = []
    positive = linked_input(graph, node, "positive", "conditioning")
    prompt = prompt_of(graph, positive, lost)
    scheduler, karras = scheduler_of(graph, node, lost)
    if others:
        lost.append(f"further samplers, which go on from the picture: {len(others)}")
    width, height = size_of(graph, node)
    return Picture(
        prompt=prompt,
        negative=", ".join(texts(graph, linked_input(graph, node, "negative"))),
        seed=setting(graph, node, *SEEDS),
        steps=setting(graph, node, "steps"),
        guidance=guidance_of(graph, node, positive),
        width=width,
        height=height,
        scheduler=scheduler,
        karras=karras,
        lost=[*lost, *the_rest(graph, node)],
    )


def setting(graph: Graph, node: str, *names: str) -> object:
    """A setting of a sampler, which may be in a node of its own."""
    for place in places(graph, node):
        if (value := graph.value(place, *names)) is not None:
            return value
    return None


def guidance_of(graph: Graph, node: str, positive: object) -> object:
    """The guidance scale of a sampler, or of a model that takes it as an input."""
    for place in graph.behind(positive):
        if graph.nodes[place][0] == EMBEDS_GUIDANCE:
            return graph.value(place, "guidance")
    return setting(graph, node, "cfg")


def linked_input(graph: Graph, node: str, *names: str) -> object:
    """The link of a sampler's input, or of its guider's."""
    for place in places(graph, node):
        for name in names:
            if graph.linked(value := graph.inputs(place).get(name)):
                return value
    return None


def places(graph: Graph, node: str) -> Iterator[str]:
    """A sampler, and the nodes of its parts."""
    yield node
    for part in PARTS:
        yield from graph.behind(graph.inputs(node).get(part), PARTS)


def prompt_of(graph: Graph, link: object, lost: list[str]) -> str | dict[str, float]:
    """The texts behind a link, with equal weights if they are several."""
    found = texts(graph, link)
    if len(found) < 2:
        return found[0] if found else ""
    called = {graph.nodes[node][0] for node in graph.behind(link)}
    if COMBINES not in called:
        ways = ", ".join(sorted(one for one in called if one.startswith("Conditioning")))
        lost.append(f"how texts are put together ({ways}): they are blended equally")
    return dict.fromkeys(found, 1.0)


def texts(graph: Graph, link: object) -> list[str]:
    """The texts behind a link, each once. Those behind a node that has one belong to it, and those
    behind one that makes zeros of them mean nothing."""
    found: dict[str, None] = {}
    hidden: set[str] = set()
    for node in graph.behind(link):
        if node in hidden:
            continue
        said = [value for name in TEXTS if (value := text_of(graph, node, name))]
        if said or graph.nodes[node][0] == ZEROES:
            hidden |= {one for value in graph.inputs(node).values() for one in graph.behind(value)}
        found |= dict.fromkeys(said)
    return list(found)


def text_of(graph: Graph, node: str, name: str) -> str:
    """The text of an input, there or in the node that it links to."""
    value = graph.inputs(node).get(name)
    for holder in graph.behind(value):
        texts_there = (graph.inputs(holder).get(key) for key in TEXTS)
        value = next((one for one in texts_there if isinstance(one, str)), value)
        if isinstance(value, str):
            break
    return plain_line(value) if isinstance(value, str) else ""


def size_of(graph: Graph, node: str) -> tuple[object, object]:
    """Width and height of the empty picture that a sampler begins with."""
    for place in graph.behind(graph.inputs(node).get("latent_image"), LATENTS):
        if "Sampler" in graph.nodes[place][0]:
            break
        sides = graph.value(place, "width"), graph.value(place, "height")
        if None not in sides:
            return sides
    return None, None


def scheduler_of(graph: Graph, node: str, lost: list[str]) -> tuple[str | None, bool]:
    """(the scheduler that a sampler is, whether its sigmas are Karras')."""
    name = setting(graph, node, "sampler_name")
    schedule = setting(graph, node, "scheduler")
    scheduler = SCHEDULERS.get(str(name))
    if name is not None and scheduler is None:
        lost.append(f"sampler_name: {name}: there is no such scheduler here")
    if schedule not in (None, "normal", "karras"):
        lost.append(f"scheduler: {schedule}, which is another way to choose its steps")
    return scheduler, schedule == "karras"


def the_rest(graph: Graph, node: str) -> Iterator[str]:
    """Sentences about models and nodes that have no word here."""
    denoise = setting(graph, node, "denoise")
    if isinstance(denoise, int | float) and denoise < 1:
        yield f"denoise {denoise:g}: it starts from a picture; give image and strength"
    for place in graph.nodes:
        if isinstance(model := graph.value(place, "ckpt_name", "unet_name"), str):
            yield f"model {model}; give its file or folder: model=local model.path=FILE"
        if isinstance(lora := graph.value(place, "lora_name"), str):
            weight = graph.value(place, "strength_model")
            yield f"LoRA {lora} {weight}: name its file in model.loras"
    known = {*places(graph, node)}
    others = {called for place, (called, _) in graph.nodes.items() if place not in known}
    strange = sorted(one for one in others if not any(part in one for part in MEANT))
    if strange:
        yield f"nodes that render does not have: {', '.join(strange)}"
