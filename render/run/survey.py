"""The survey: what becomes of each frame of a film, counted, with reasons and costs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, replace

from render import storybook
from render.files.atomic import free_bytes, is_there, no_room
from render.files.temporary import sweep
from render.models.components import vectors_of
from render.models.prompt_weights import plain
from render.models.resolve import Model
from render.models.token_limits import CutPrompt, cut_prompts
from render.plan import cost
from render.plan.frame_plan import PlannedFrame
from render.plan.plan_json import ShownFilm, shared_entry
from render.report.events import PlanSummary
from render.run.film import ResolvedFilm
from render.run.finishing import finish_costs, finish_summary
from render.run.frame_loop import distinct
from render.run.sound_checks import heard_lines
from render.store import judge, store
from render.store.judge import (
    ANOTHER_PICTURE,
    ANOTHER_RECIPE,
    FROM_THE_STORE,
    State,
    Verdict,
)
from render.store.path_latents import latents_path
from render.text import shortened
from render.video.codecs import video_bytes

SHARED_NAMES = {
    "scheduler_options": "the scheduler's settings",
    "width": "size",
    "height": "size",
    "loras": "a LoRA's file",
}
"""Entries that all frames share, where a person has other words for them."""
OF_THIS_KIND = "earlier frames of this kind on this machine"
OF_ANOTHER_SIZE = "earlier frames of another size on this machine, by their pixels"
ONLY_DECODED = "little: the frames that are missing are only decoded"
NAMED = 4  # frames that a reason names


def survey(film: ResolvedFilm, frames: Sequence[PlannedFrame]) -> list[Verdict]:
    """The state of each frame; nothing is changed but leftovers of killed runs."""
    store.sweep_store(film.store)
    for folder in (film.folder, film.frames, film.shown):
        if folder.is_dir():
            sweep(folder)
    return judge.judge_all(frames, film.store, film.frames, film.size)


def survey_to_show(
    film: ResolvedFilm, frames: Sequence[PlannedFrame], say: Callable[[str], None]
) -> list[Verdict]:
    """The same for a run that then shows what it finds and renders: whole frames of its folder that
    the store lacks are taken into it first, since others may come over them."""
    verdicts = survey(film, frames)
    if all(verdict.in_place for verdict in verdicts):
        return verdicts
    taken = store.take_in(film.store, film.frames, say)
    return survey(film, frames) if taken else verdicts


def missing_frames(verdicts: Sequence[Verdict]) -> list[PlannedFrame]:
    """The frames to render: each picture once, and none that is there under another name."""
    there = {v.frame.digest for v in verdicts if v.stored or v.in_place}
    return [frame for frame in distinct([v.frame for v in verdicts]) if frame.digest not in there]


def as_people_see(
    verdicts: Sequence[Verdict], film: ResolvedFilm, before: ShownFilm | None
) -> list[Verdict]:
    """The states without what nobody did. After an edit it is no news that a frame's name shows
    another picture than its own if its own is there, or if that one only moved, as all do at
    another rate.

    Args:
        before: the film that the folder shows; None: not known.
    """
    # A picture that is shown for longer is still in its place where it began.
    wanted_elsewhere = {verdict.frame.digest for verdict in verdicts if not verdict.in_place}
    edited = before is not None and before.digest != film.plan.digest
    moved = before is not None and before.rate != str(film.plan.fps)
    found = []
    for verdict in verdicts:
        taken = verdict.reason == FROM_THE_STORE or (edited and verdict.before)
        if verdict.state is State.KEPT and taken:
            verdict = replace(verdict, reason="")
        elif (
            verdict.state is State.STALE
            and edited
            and (moved or verdict.before in wanted_elsewhere)
        ):
            verdict = replace(verdict, state=State.NEW, reason="")
        elif verdict.reason == ANOTHER_RECIPE:
            verdict = replace(verdict, reason=recipe_reason(before, film))
        elif verdict.reason.startswith(ANOTHER_PICTURE):
            verdict = replace(verdict, reason=picture_reason(verdict.reason, before, film))
        found.append(verdict)
    return found


def recipe_reason(before: ShownFilm | None, film: ResolvedFilm) -> str:
    """Why a frame of the same spec is to be rendered again."""
    names, was = changed_names(before, film), before.shared if before else {}
    if "version" in names:
        change = f"{was.get('version')} to {film.plan.recipe.version}"
        return shortened(f"changed: the recipe's version, {change} (render's CHANGELOG)", 200)
    words = {**SHARED_NAMES, "model": model_words(str(was.get("model")), film)}
    called = dict.fromkeys(words.get(name, name) for name in names)
    return shortened(f"changed: {', '.join(called)}", 200) if called else ANOTHER_RECIPE


def picture_reason(reason: str, before: ShownFilm | None, film: ResolvedFilm) -> str:
    """Why a frame of another size is to be rendered again: what else all frames share and is
    another, as another model has another size, or the reason that was found."""
    more = set(changed_names(before, film)) - {"width", "height"}
    return recipe_reason(before, film) if more else reason


def changed_names(before: ShownFilm | None, film: ResolvedFilm) -> list[str]:
    """The entries that all frames share and that are others than they were; none if those of
    before are not known."""
    recipe = film.plan.recipe
    after = shared_entry(json.loads(json.dumps(recipe.entry())), dict(film.plan.loras))
    was = before.shared if before else {}
    return [key for key in {**was, **after} if was.get(key) != after.get(key)] if was else []


def model_words(was: str, film: ResolvedFilm) -> str:
    """The model as a reason names it. The embedded one has one name and, now and then, new
    weights.

    Args:
        was: the identity of the model before.
    """
    version = storybook.EARLIER.get(was)
    if version and film.model.source.folder == storybook.WEIGHTS:
        return f"model (storybook was trained anew after render {version})"
    return "model"


def summarise(
    film: ResolvedFilm, verdicts: Sequence[Verdict], before: ShownFilm | None = None
) -> PlanSummary:
    """Counts, reasons and costs of what a run would do.

    Args:
        before: the film that the folder showed before; None: not known.
    """
    missing = missing_frames(verdicts)
    verdicts = as_people_see(verdicts, film, before)
    there = stored_paths(film, missing)
    rows = cost.planned_rows(missing, film.plan.recipe, film.scheduler, film.model.family, there)
    timing = cost.earlier_timing(film.store, film.plan.recipe, film.device)
    scaled = None if timing else cost.scaled_timing(film.store, film.plan.recipe, film.device)
    only_decoded = bool(missing) and not rows
    source = OF_THIS_KIND if timing else OF_ANOTHER_SIZE if scaled else ""
    source = ONLY_DECODED if only_decoded else source
    counts = Counter(v.state.value for v in verdicts)
    finish = finish_summary(film)
    pictures = finish.pictures if finish else len(film.plan.frames)
    finish_s, finish_bytes = finish_costs(film, finish.missing if finish else 0)
    render_s = None if only_decoded else cost.seconds_for(rows, timing or scaled)
    texts = {text for v in verdicts for text, _ in (*v.frame.spec.prompts, *v.frame.spec.negatives)}
    disk_bytes = cost.bytes_for(len(missing), film.plan.recipe, timing)
    disk_bytes += cost.bytes_of_nodes(missing, film.plan.recipe, there)
    return PlanSummary(
        frames=len(verdicts),
        **{state.value: counts[state.value] for state in State},
        reasons=reasons(verdicts),
        rows=rows,
        seconds_estimate=None if render_s is None else render_s + finish_s,
        estimate_source=source,
        disk_bytes=disk_bytes + finish_bytes,
        cut_prompts=[astuple(cut) for cut in cut_texts(film.model, texts)],
        warnings=film.plan.warnings,
        video_bytes=video_bytes(film.config.output, film.shown_size, pictures),
        loras=list(lora_weights(film)),
        paces=[
            (float(time), measured.place_at(0.25), measured.place_at(0.75))
            for time, measured in film.plan.paces.items()
        ],
        blend=film.plan.recipe.blend,
        finish=finish,
        heard=list(heard_lines(film)),
    )


def stored_paths(film: ResolvedFilm, frames: Sequence[PlannedFrame]) -> set[str]:
    """The identities of these frames' smooth paths whose nodes are in the store."""
    paths = {frame.path for frame in frames if frame.path}
    return {digest for digest in paths if is_there(latents_path(film.store, digest))}


def lora_weights(film: ResolvedFilm) -> Iterator[tuple[str, float, float]]:
    """Each LoRA of the film with its least and its greatest weight."""
    for lora in film.loras:
        weights = {dict(frame.spec.loras).get(lora.name, 0.0) for frame in film.plan.frames}
        yield lora.name, min(weights), max(weights)


def check_room(film: ResolvedFilm, summary: PlanSummary) -> None:
    """Ask before the first frame whether the disk will hold what is to come.

    Raises:
        DiskFull: it will not.
    """
    needed = summary.disk_bytes + summary.video_bytes
    if summary.disk_bytes and needed > free_bytes(film.config.root):
        raise no_room(film.config.root, f"frames and video need about {needed:,} bytes")


def cut_texts(model: Model, texts: Iterable[str]) -> Iterator[CutPrompt]:
    """The texts that the model reads only the beginning of."""
    reader = model.reader
    if model.family.whole_texts:
        return iter(())
    texts = {plain(text) for text in texts} if model.family.weighted else texts
    most = model.positions
    learned = vectors_of(model.source.words)
    folder = model.tokenizer
    return cut_prompts(sorted(texts), folder, reader.tokens, reader.marks, most, learned)


def reasons(verdicts: Sequence[Verdict]) -> list[tuple[str, int, str]]:
    """(state, count, reason with its first frames); kept frames without a story are left out."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.reason:
            groups[verdict.state.value, verdict.reason].append(verdict.frame.index)
    return [
        (state, len(indexes), f"{reason} (frames {some(indexes)})")
        for (state, reason), indexes in groups.items()
    ]


def some(indexes: Sequence[int]) -> str:
    """The first few numbers of a list."""
    return ", ".join(map(str, indexes[:NAMED])) + (" …" if len(indexes) > NAMED else "")
