"""The descriptions and wordings that an evaluation asks a model for."""

from collections.abc import Callable

from training.storybook.scene import Description

GROUPS: dict[str, Callable[[Description], bool]] = {
    "night": lambda d: d.time == "night",
    "dusk": lambda d: d.time == "sunset",
    "snow": lambda d: d.biome == "snow",
    "desert": lambda d: d.biome == "desert",
    "city": lambda d: d.place in ("city", "cityscape"),
    "all": lambda d: True,
}
PROMPTED = tuple(
    Description(place) for place in ("none", "town", "town_castle", "city", "cityscape")
)
"""The descriptions that the five prompts of the city film are wordings of."""
FREE_WORDING = (
    ("castle", Description("castle")),
    ("a big red dragon guards the old castle", Description("castle")),
    ("NIGHT. A QUIET VILLAGE!!!", Description("town", "night")),
    (
        "in winter, by the lake, there stands a castle",
        Description("castle", biome="snow", water="lake"),
    ),
    (
        "an oil painting of skyscrapers by the ocean at dusk",
        Description("city", "sunset", water="sea"),
    ),
    ("sunset metropolis, cinematic, masterpiece", Description("cityscape", "sunset")),
    (
        "a river through autumn woods",
        Description("none", biome="autumn", water="river", forest=True),
    ),
    ("Ein Dorf: a little village, über 3 Hügel", Description("town")),
    ("hamlet and fortress on a snowy morning", Description("town_castle", "dawn", "snow")),
    ("moonlight over sand dunes", Description("none", "night", "desert")),
)
"""Wordings outside of the grammar, and what they ask for."""
