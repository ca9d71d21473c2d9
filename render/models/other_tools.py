"""Spellings of other tools that are only words here, each with the spelling to use.

The spellings of AUTOMATIC1111 and its relatives (weights, LoRAs, prompt editing, BREAK, AND), of
ComfyUI, of compel and of Midjourney.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from render.models.prompt_weights import without_weights

# Texts may come from anyone, so every pattern takes time by a text's length alone: what can be
# divided in many ways takes all it can at once (`++`), and begins at one place only.
NUMBER = r"[+-]?(?:\d++\.?\d*+|\.\d++)"
WORD = r"[^\W\d_][\w'-]*"
WEIGHTED = "a word's weight is written (castle:1.3)"
BLENDED = (
    "no weights stand inside a text of this model; blend two texts: {A castle: 0.7, A town: 0.3}"
)
CHANGED = (
    "a text that changes on the way is two keyframes, one that alternates two texts with weights"
)
MIXED = "two texts are blended by their weights: {A castle: 0.5, A wood: 0.5}"
DECIMAL = r"[+-]?\d?\.\d+"
OPTIONS = (
    "ar|aspect|cfg|chaos|cref|exp|h|height|iw|neg|negative|negative[-_]prompt|niji|no|oref|p|q|"
    "quality|raw|repeat|s|scale|seed|sref|steps|stop|style|stylize|tile|v|version|w|weird|width"
)

SPELLINGS = (
    (r"\\\([^()\\]*\\\)|\\[()\[\]{}]", "the backslash is read, too; brackets without a weight are "
     "words here: (castle)"),
    (r"(?i:<(?:lora|lyco):[^<>]*>?)", "a LoRA is loaded with model.loras=[{path: FILE}] and "
     "weighted at a keyframe: lora: {NAME: 0.6}"),
    (r"(?i:<hypernet:[^<>]*>?)", "hypernetworks are not loaded here; leave it out"),
    (r"(?i:<segment:[^<>]*>?)", "only whole pictures are painted here; leave it out"),
    (r"<[^\s<>|:/]{1,60}>", "a learned word is loaded with model.embeddings=[{path: FILE, token: "
     "<cat>}]; without it these are letters"),
    (rf"(?<!\w)(?i:embedding):{WORD}", "a learned word is loaded with model.embeddings=[{path: "
     "FILE, token: WORD}] and written as that word"),
    (rf"\[[^\[\]:]*:[^\[\]:]*:\s*+{NUMBER}\s*\]|\[[^\[\]|]*\|[^\[\]]*\]", CHANGED),
    (rf"\[[^\[\]]*:\s*+{NUMBER}\s*\]", ""),
    (r"\[[^\[\]]+\]", "[word] weighs less elsewhere; "),
    (r"\{[^{}|]*\|[^{}]*\}|(?<![\w/-])__[\w/-]+__(?!\w)", "nothing is drawn at random here; sweep "
     "over the prompts with -m"),
    (r"\{\{[^{}]*\}\}", "{{word}} weighs more elsewhere; "),
    (r"(?<!\$)\{[^{}]+\}", "{word} weighs more elsewhere; "),
    (r"\([^()]*[^\W\d]:\s*\d?,\d{1,2}\s*\)", "a weight has a point, not a comma; "),
    (r"\bNegative prompt:|\b(?:Steps|CFG scale): *[\d.]+|\bSampler: *\w+", "settings of another "
     "tool; this one's are keys: sampling.negative, scheduler.steps, scheduler, sampling.guidance"),
    (r"\(\([^()]*\)\)", "((word)) weighs more elsewhere; "),
    (rf"\([^()]*[^\W\d]:\s*{NUMBER}(?![\d.,]*\s*\))", "the bracket is not closed; "),
    (rf"\([^()]*\)(?:{NUMBER}(?!\w)|(?:\+\+?|--?)(?!\w))"
     r"|(?<![^\W\d_])[^\W\d_]{2,}(?:\+\+|--)(?!\w)", ""),
    (rf"(?<![\w:-])(?<!\w')(?:{WORD})::?{NUMBER}(?![\w:])", ""),
    (rf"(?<!\S)(?:--|[–—])(?:{OPTIONS})(?![\w-])(?:\s+[\w:.]+)?", "options of "
     "another tool; this one's are keys: output.width, sampling.seed, sampling.negative"),
    (r"(?<!\S)/imagine\b(?: prompt:)?", "a command of another tool; leave it out"),
    (r"\([^()]*\)\.(?:blend|and)\([^()]*\)", MIXED),
    (r"(?<![^\s,])[^\s,]+\.swap\([^()]*\)", CHANGED),
    (rf"\([^(),]*,\s*{DECIMAL}\s*\)|\"[^\"]*\"(?:\+\+?|--?)(?!\w)|(?<!\S)::{NUMBER}(?!\w)", ""),
    (r"(?:(?<![^\s|])[^\s|]++\s{0,9})?\|\s{0,9}[^\s|]*", f"{CHANGED}; {MIXED}"),
    (r"(?s)^\s*[“”„«»‘‚].*[“”«»’]\s*$", "such quotes are letters of the text; YAML's own are \" "
     "and '"),
)  # fmt: skip
"""Each with what stands for it here; what ends with a blank is followed by how weights are written,
and so is an empty one."""
SHOUTED = (
    (r"\bBREAK\b", "texts are read in windows only with model.long_prompts=true, as they come; "
     "leave it out"),
    (r"\bADD(?:BASE|COL|COMM|ROW)\b", "a text is for the whole picture here; leave it out"),
    (r"(?<=\w )AND(?= \w)", MIXED),
)  # fmt: skip
"""Words that mean something in capitals alone; in a text of capitals they are words."""


def misread(text: str, weighted: bool, learned: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Each part of a text that other tools would not read as words, with what to write here.

    Args:
        weighted: whether the model is given weights of words.
        learned: the words of model.embeddings.
    """
    rest = without_weights(text, " ")
    for word in learned:
        rest = rest.replace(word, " ")
    weights = WEIGHTED if weighted else BLENDED
    for pattern, advice in (*SPELLINGS, *(SHOUTED if any(map(str.islower, text)) else ())):
        found = re.search(pattern, rest)
        if found:
            yield found[0].strip(), advice + weights if advice[-1:] in ("", " ") else advice
            rest = re.sub(pattern, " ", rest)
