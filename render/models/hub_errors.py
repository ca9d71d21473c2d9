"""Errors of the hub's client and of the loaders of models, in our words."""

from __future__ import annotations

import re

HUB = (
    (r"OfflineModeIsEnabled|offline mode|outgoing traffic has been disabled",
     "downloads are switched off by HF_HUB_OFFLINE"),
    (r"LocalEntryNotFound", "the hub can't be reached; look at the network"),
    (r"GatedRepo|gated|403", "its terms have to be accepted on its page, and a token be there: "
     "hf auth login"),
    (r"401|Unauthorized|RepositoryNotFound", "there is none of this name, or it needs a login: "
     "hf auth login"),
    (r"RevisionNotFound", "it has no such revision"),
    (r"EntryNotFound|404", "it lacks a file that the pipeline needs"),
    (r"429|Too Many", "the hub asks for a pause; try again in some minutes"),
    (r"Connect|Timeout|Resolution|Name or service|unreachable|Network|Max retries|Cannot reach",
     "the hub can't be reached; look at the network"),
    (r"No space left", "the disk of the cache is full"),
)  # fmt: skip
LOADING = (
    (r"(?P<what>the \w+'s files lack .*)", "{what}; download it again"),
    (r"size mismatch|expected shape|shape mismatch|Cannot load .* from .* because",
     "weights have other shapes than its configs say; download it again"),
    (r"no file named (?P<name>[\w.-]+)", "{name} is missing; download it again"),
    (r"[Hh]eader|[Ii]ncomplete|safetensor", "weights are cut or damaged; download it again"),
    (r"missing keys|are missing|newly initialized", "weights are missing in its files; download it "
     "again"),
    (r"JSON|Expecting|Extra data", "a config is no JSON; download it again"),
    (r"requires? the .* library|No module named", "a library is missing: pip install -U render"),
    (r"out of memory|not enough memory|can't allocate", "the memory does not hold it"),
)  # fmt: skip


def first_line(error: BaseException) -> str:
    """An error of a library in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def of_the_hub(error: BaseException) -> str:
    """The reason of an error of the hub's client."""
    return worded(HUB, error)


def of_a_loader(error: BaseException) -> str:
    """The reason why a model's files can't be loaded."""
    return worded(LOADING, error)


def worded(known: tuple[tuple[str, str], ...], error: BaseException) -> str:
    """An error by its class and its words; one that is not known in the library's, in quotes."""
    kinds = " ".join(kind.__name__ for kind in type(error).__mro__)
    said = f"{kinds}: {error}"
    for theirs, ours in known:
        if found := re.search(theirs, said):
            return ours.format(**found.groupdict())
    return f"{type(error).__name__}: “{first_line(error)[:200]}”"
