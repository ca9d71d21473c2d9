"""Captions of a description from a small grammar: synonyms, orders, tags, fillers.

The rule that makes the model obey: whatever differs from the default is always said, and what is
said is always shown. Defaults ("by day", "green") are said now and then as well. Water may go
without saying where a thing needs it: a bridge means a river, a lighthouse the sea.
"""

import re

import numpy as np

from training.storybook.scene import NEEDS, THINGS, Description, Thing, Water

PROMPTS = (
    "A fantasy landscape",
    "A fantasy landscape with a small town",
    "A fantasy landscape with a small town and castle",
    "A fantasy landscape with a modern city",
    "A sprawling cityscape",
)
"""The keyframes of the city film."""

TOWN = (
    "a small town", "a small town", "a small town", "a village", "a little village", "a town",
    "small houses", "houses with red roofs", "a hamlet", "cottages", "a quiet little town",
)  # fmt: skip
CASTLE = (
    "a castle", "a castle", "a castle", "a medieval castle", "an old castle", "a fortress",
    "a castle on a hill", "a castle with flags", "a palace", "a fairy tale castle",
)  # fmt: skip
CITY = (
    "a modern city", "a modern city", "a modern city", "a city", "skyscrapers", "a city skyline",
    "a futuristic city", "glass towers", "a distant modern city", "tall modern buildings",
)  # fmt: skip
CITYSCAPE = (
    "a sprawling cityscape", "a sprawling cityscape", "a sprawling cityscape", "a cityscape",
    "a huge city", "a metropolis", "a sprawling modern city", "a vast cityscape", "a megacity",
    "a city that fills the picture", "an endless city", "a sprawling city", "a modern cityscape",
)  # fmt: skip
LAND = (
    "fantasy landscape", "fantasy landscape", "fantasy landscape", "fantasy landscape",
    "landscape", "landscape", "beautiful landscape", "valley", "fantasy world", "countryside",
    "scenery", "magical land", "view", "land",
)  # fmt: skip
TIME = {
    "day": (
        "by day", "on a sunny day", "in daylight", "under a blue sky", "at noon", "during the day",
    ),
    "dawn": (
        "at dawn", "at sunrise", "in the early morning", "at daybreak", "in the pink morning light",
    ),
    "sunset": ("at sunset", "in the evening", "at dusk", "under a red sky", "in the evening sun"),
    "night": (
        "at night", "by night", "under a starry sky", "in the moonlight", "under the moon",
        "at midnight",
    ),
}  # fmt: skip
TIME_TAG = {
    "day": ("day", "daylight", "blue sky", "sunny"),
    "dawn": ("dawn", "sunrise", "morning"),
    "sunset": ("sunset", "evening", "dusk"),
    "night": ("night", "stars", "moonlight", "dark"),
}
BIOME = {
    "green": ("in summer", "with green hills", "with green meadows", "in early summer"),
    "snow": ("in winter", "in the snow", "covered in snow", "with snow", "in deep snow"),
    "desert": ("in the desert", "in a desert", "with sand dunes", "among sand dunes"),
    "autumn": ("in autumn", "in fall", "in autumn colours", "in the fall"),
    "blossom": (
        "in spring", "in blossom", "with cherry blossoms", "in springtime", "with pink blossom",
        "with flowering trees",
    ),
}  # fmt: skip
BIOME_ADJECTIVE = {
    "green": ("green", "lush", "grassy"), "snow": ("snowy", "wintry", "snow covered", "winter"),
    "desert": ("desert", "sandy", "arid"), "autumn": ("autumn", "autumnal"),
    "blossom": ("spring", "blossoming", "blooming"),
}  # fmt: skip
WATER = {
    "none": (),
    "river": ("a river", "a winding river", "a stream", "a river", "a blue river"),
    "lake": ("a lake", "a blue lake", "a pond", "a lake", "a calm lake"),
    "sea": ("the sea", "a sea", "the ocean", "a coast", "a beach", "the seaside"),
}
FOREST = ("a forest", "trees", "woods", "a forest", "many trees", "a deep forest", "a wood")
WEATHER = {
    "clear": ("under a clear sky",),
    "rain": ("in the rain", "with rain", "in pouring rain", "under rain clouds", "while it rains"),
    "fog": ("in the fog", "in the mist", "with fog", "shrouded in mist", "in thick fog"),
    "rainbow": ("under a rainbow", "with a rainbow", "with a rainbow in the sky"),
}
WEATHER_TAG = {
    "clear": ("clear sky",),
    "rain": ("rain", "rainy", "raining"),
    "fog": ("fog", "foggy", "misty", "mist"),
    "rainbow": ("rainbow", "a rainbow"),
}
SMALL: dict[Thing, tuple[str, ...]] = {
    "birds": ("birds", "a flock of birds", "flying birds", "birds in the sky", "many birds"),
    "boat": ("a sailing boat", "sailing boats", "boats", "a boat", "small ships", "white sails"),
    "windmill": ("a windmill", "an old windmill", "a windmill on a hill", "a mill"),
    "lighthouse": ("a lighthouse", "a striped lighthouse", "a lighthouse on a rock"),
    "bridge": ("a bridge", "a stone bridge", "an old bridge", "a bridge of stone"),
    "ruins": ("ruins", "ancient ruins", "a ruined temple", "old ruins", "broken columns"),
    "market": ("a market", "market stalls", "a busy market", "a market square"),
    "harbour": ("a harbour", "a harbor", "a port", "a little harbour", "a pier"),
}
IMPLIED_UNSAID = 0.5  # share of the captions that leave out water which a thing needs
ALWAYS = ("mountains", "high mountains", "mountain peaks", "clouds", "hills", "a wide sky")
STYLE = (
    "storybook", "illustration", "flat colours", "highly detailed", "beautiful", "charming",
    "picture book", "artstation", "4k", "trending", "matte painting", "by a great artist",
)  # fmt: skip
MEDIUM = (
    "a painting of", "an illustration of", "a picture of", "a drawing of", "a view of",
    "a storybook picture of", "concept art of", "an image of", "a photo of",
)  # fmt: skip
BY = (" by ", " near ", " and ", " with ", " next to ")
JOIN = (" with ", " with ", " with ", " with ", " and ", ", ", " featuring ", " that has ")


def words() -> list[str]:
    """Every word that captions are made of, in order of letters; nonsense is none."""
    texts = [*PROMPTS, *TOWN, *CASTLE, *CITY, *CITYSCAPE, *LAND, *FOREST, *ALWAYS, *STYLE]
    texts += [*MEDIUM, *BY, *JOIN, "a an the"]
    kinds = (TIME, TIME_TAG, BIOME, BIOME_ADJECTIVE, WATER, WEATHER, WEATHER_TAG, SMALL)
    texts += [text for said in kinds for choices in said.values() for text in choices]
    return sorted({word for text in texts for word in re.findall(r"[^\W_]+", text.lower())})


def caption(described: Description, rng: np.random.Generator) -> str:
    """One caption in a random wording; it names every attribute that is not the default."""
    roll = rng.random()
    if roll < 0.1:
        text = _tags(described, rng)
    elif roll < 0.32:
        text = _place_first(described, rng)
    else:
        text = _land_first(described, rng)
    return _finish(text, rng)


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def _join(things: list[str], rng: np.random.Generator) -> str:
    """`a town, a lake and castle`: the last article is left out now and then."""
    if len(things) < 2:
        return "".join(things)
    last = things[-1]
    if rng.random() < 0.35:
        last = last.removeprefix("a ").removeprefix("an ")
    return ", ".join(things[:-1]) + " and " + last


def _buildings(described: Description, rng: np.random.Generator) -> list[str]:
    town, castle = _pick(rng, TOWN), _pick(rng, CASTLE)
    kinds = {"town": [town], "castle": [castle], "town_castle": [town, castle]}
    if described.place == "city":
        return [_pick(rng, CITY)]
    if described.place == "cityscape":
        return [_pick(rng, CITYSCAPE)]
    found = kinds.get(described.place, [])
    return found[::-1] if rng.random() < 0.25 else found


def _nature(described: Description, rng: np.random.Generator) -> list[str]:
    """Water, forest and small things, and now and then what every landscape has."""
    things = [_pick(rng, SMALL[thing]) for thing in THINGS if thing in described.things]
    if described.water != "none" and not (_implied(described) and rng.random() < IMPLIED_UNSAID):
        things.append(_pick(rng, WATER[described.water]))
    if described.forest:
        things.append(_pick(rng, FOREST))
    if described.place != "cityscape" and rng.random() < 0.15:
        things.append(_pick(rng, ALWAYS))
    rng.shuffle(things)
    return things


def _implied(described: Description) -> bool:
    """Whether some thing shown means this water where none is said."""
    meant: set[Water] = {NEEDS[thing][0] for thing in described.things if thing in NEEDS}
    return meant == {described.water}


def _circumstances(described: Description, rng: np.random.Generator, say_biome: bool = True) -> str:
    """` at night in winter`, in either order; the defaults are mostly left out."""
    said = []
    if described.time != "day" or rng.random() < 0.12:
        said.append(_pick(rng, TIME[described.time]))
    says_biome = described.biome != "green" or rng.random() < 0.06
    if say_biome and says_biome and described.place != "cityscape":
        said.append(_pick(rng, BIOME[described.biome]))
    if described.weather != "clear" or rng.random() < 0.03:
        said.append(_pick(rng, WEATHER[described.weather]))
    rng.shuffle(said)
    return "".join(_pick(rng, (" ", " ", ", ")) + text for text in said)


def _land_first(described: Description, rng: np.random.Generator) -> str:
    """`A snowy fantasy landscape with a small town and a river at night`."""
    if described.place == "cityscape":
        things = _buildings(described, rng) + _nature(described, rng)
        return " with ".join(things) + _circumstances(described, rng)
    noun = _pick(rng, LAND)
    adjective = rng.random() < (0.5 if described.biome != "green" else 0.06)
    if adjective:
        noun = f"{_pick(rng, BIOME_ADJECTIVE[described.biome])} {noun}"
    things = _buildings(described, rng) + _nature(described, rng)
    if rng.random() < 0.15:
        rng.shuffle(things)
    text = _article(noun) + (_pick(rng, JOIN) + _join(things, rng) if things else "")
    return text + _circumstances(described, rng, say_biome=not adjective)


def _place_first(described: Description, rng: np.random.Generator) -> str:
    """`At night, a castle by the sea in winter`, without the word landscape."""
    things = _buildings(described, rng) + _nature(described, rng)
    if not things or described.place == "none":
        return _land_first(described, rng)
    by = _pick(rng, BY)
    text = things[0] + (by + _join(things[1:], rng) if things[1:] else "")
    around = _circumstances(described, rng).strip(", ")
    if around and rng.random() < 0.3:
        return f"{around}, {text}"
    return f"{text} {around}".strip()


def _tags(described: Description, rng: np.random.Generator) -> str:
    """`castle, night, snowy, fantasy landscape`."""
    tags = _buildings(described, rng) + _nature(described, rng)
    tags = [tag.removeprefix("a ").removeprefix("an ").removeprefix("the ") for tag in tags]
    if described.place != "cityscape" and (rng.random() < 0.6 or not tags):
        tags.append(_pick(rng, LAND))
    if described.time != "day" or rng.random() < 0.2:
        tags.append(_pick(rng, TIME_TAG[described.time]))
    if described.biome != "green" or (described.place != "cityscape" and rng.random() < 0.1):
        tags.append(_pick(rng, BIOME_ADJECTIVE[described.biome]))
    if described.weather != "clear":
        tags.append(_pick(rng, WEATHER_TAG[described.weather]))
    rng.shuffle(tags)
    return ", ".join(tags)


def _finish(text: str, rng: np.random.Generator) -> str:
    """Fillers that change nothing: a medium, a style, a word nobody knows, capitals, a stop."""
    if rng.random() < 0.12:
        text = f"{_pick(rng, MEDIUM)} {text}"
    if rng.random() < 0.10:
        text = f"{text}, {_pick(rng, STYLE)}"
    if rng.random() < 0.08:
        text = _insert(text, _nonsense(rng), rng)
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + _pick(rng, ("", "", "", "", ".", "!"))


def _insert(text: str, word: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    words.insert(int(rng.integers(len(words) + 1)), word)
    return " ".join(words)


def _nonsense(rng: np.random.Generator) -> str:
    """A word that means nothing, so that the model learns to read past words it does not know."""
    syllables = rng.integers(1, 4)
    letters = [
        _pick(rng, tuple("bcdfghjklmnprstvwz")) + _pick(rng, tuple("aeiouy"))
        for _ in range(syllables)
    ]
    return "".join(letters) + _pick(rng, ("", "n", "r", "s", "x", "'s"))
