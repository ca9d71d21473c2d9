"""A coverage-guided fuzzer over the timeline reader: `make fuzz`, or

    python tests/faults/fuzz_timeline.py .fuzz -max_total_time=60

What it finds is printed and kept in the folder. Mend it, then keep the input as a small file in
tests/faults/cases/, which test_fuzz.py replays.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["render", "yaml"]):
    import yaml
    from reading import outcome

HERE = Path(__file__).resolve().parent
SEEDS = (HERE / "cases", HERE.parent.parent / "configs" / "timeline")
WORDS = [
    "keyframes:", "at:", "prompt:", "seed:", "guidance:", "negative:", "ease:", "loop:",
    "duration:", "name:", "true", "null", "yes", "linear", "hold", "36f", "1.5", "1e308", ".inf",
    ".nan", "-1", "${oc.env:X}", "!!python", "<<:", "_target_", "hydra:", "# @package", "\n  - {",
    "- {at: ", "\n  ", "&a ", "*a", "? ", "|\n", "'", '"',
]  # fmt: skip


def dictionary_entry(word: str) -> str:
    """A word as libFuzzer reads it: every byte in hexadecimal."""
    return '"' + "".join(rf"\x{byte:02x}" for byte in word.encode()) + '"\n'


def main() -> None:
    corpus, *options = sys.argv[1:]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        words = folder / "words"
        words.write_text("".join(map(dictionary_entry, WORDS)))

        def try_one(content: bytes) -> None:
            # The parser that a run uses is C, which guides nobody: the same text through Python's.
            with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError, RecursionError):
                for _ in yaml.parse(content.decode("utf-8-sig"), Loader=yaml.SafeLoader):
                    pass
            outcome(folder, content)

        limits = ["-max_len=2000", "-timeout=10", "-rss_limit_mb=2048", f"-dict={words}"]
        places = [f"-artifact_prefix={corpus}/found-", *options, corpus, *map(str, SEEDS)]
        atheris.Setup([sys.argv[0], *limits, *places], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
