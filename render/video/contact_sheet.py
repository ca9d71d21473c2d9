"""Contact sheet: a film on one page, a thumbnail a frame with its time and its prompts.

Each prompt has a colour of its own on the whole page; the bar under a thumbnail shows how much of
each prompt is in it. Seeds and guidance stand there if they change in the film.
"""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, PngImagePlugin

from render.errors import EncodeError, unread_frame
from render.files.atomic import write_whole
from render.files.ownership import SHEET_MARK, read_head
from render.plan.frame_plan import PlannedFrame
from render.text import differing, one_line, plural
from render.timeline.spec import FrameSpec
from render.video.lettering import Letters, cut, fitted, letters_for, line_height
from render.video.value_curves import Colour, ValueCurves, draw_curves, foot_height

MOST_FRAMES = 72  # six seconds at 12 a second
LARGE = 24  # frames that are shown large
LAYOUT = "4:"  # before the film's digest: a page of an older layout is drawn again
MOST_BYTES = 1_000_000
COMPRESSION = 4  # of 9; files as small as those of 6, in less than half of the time
WAYS = ((1560, False), (1560, True), (1320, True), (1080, True), (900, True))
"""Width in pixels and whether 256 colours must do; the first small enough file is taken."""
MARGIN, GAP, BAR = 28, 18, 5
BAR_GAP = 3
TEXT_LINES = 4
LONGEST = 600  # characters of a prompt that are looked at
BACKGROUND, INK, FAINT = (22, 23, 26), (234, 234, 230), (150, 152, 158)

Line = tuple[str, str, Colour]  # percentage, text, the percentage's colour


@dataclass(frozen=True, slots=True)
class CommonValues:
    """The values of a whole film that captions depend on: which are equal and which change."""

    differs: Mapping[str, int] = field(default_factory=dict)
    """Where each prompt begins to differ from the one that it resembles longest."""
    seeds: bool = False
    """Whether seeds change in the film."""
    guidance: bool = False

    @staticmethod
    def of(specs: Sequence[FrameSpec]) -> CommonValues:
        """The film of these frames."""
        texts = {one_line(text)[:LONGEST] for spec in specs for text, _ in spec.prompts}
        seeds = {tuple(sorted(spec.seeds)) for spec in specs}
        return CommonValues(
            differing(texts), len(seeds) > 1, len({spec.guidance for spec in specs}) > 1
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One frame's place on the page, in pixels, and what stands there."""

    frame: PlannedFrame
    picture: Image.Image
    lines: Sequence[Line]
    left: int
    top: int


def contact_sheet(
    frames: Sequence[tuple[PlannedFrame, Path]],
    target: Path,
    title: str,
    plan: str = "",
    keyframes: Sequence[int] = (),
    more: str = "",
    curves: ValueCurves | None = None,
) -> None:
    """Write a page of all frames, or of 72 evenly chosen ones with the first, the last and those
    of the keyframes among them; how many of how many stands beside the title.

    Args:
        frames: planned frames with their finished PNGs, in order.
        target: the page, a PNG of about 1 MB at most.
        plan: digest of the film, written into the page to know it again.
        keyframes: places of the frames at which keyframes stand.
        more: stands behind the title and the number of frames.
        curves: of values, at the foot of the page.

    Raises:
        EncodeError: there are no frames, or one can't be read.
        DiskFull: no room for the page.
    """
    if not frames:
        raise EncodeError(f"{target}: there are no frames to show")
    shown = [frames[place] for place in chosen(len(frames), MOST_FRAMES, keyframes)]
    thumbnails = [(frame, thumbnail(path)) for frame, path in shown]
    prompts = [text for frame, _ in shown for text, _ in frame.spec.prompts]
    of = f"{len(shown)} of " if len(shown) < len(frames) else ""
    title = f"{title}, {of}{plural(len(frames), 'frame')}{more}"
    letters = letters_for([title, *prompts])
    film = CommonValues.of([frame.spec for frame, _ in frames])
    proof = PngImagePlugin.PngInfo()
    proof.add_text(SHEET_MARK, LAYOUT + plan)
    for width, few_colours in WAYS:
        page = page_of(thumbnails, width, letters, title, film, curves or {}, keyframes)
        encoded = io.BytesIO()
        whole = dithered(page) if few_colours else page
        whole.save(encoded, "PNG", pnginfo=proof, compress_level=COMPRESSION)
        if encoded.tell() <= MOST_BYTES:
            break
    write_whole(target, encoded.getvalue())


def shows_plan(sheet: Path, plan: str) -> bool:
    """Whether a contact sheet is there and shows the film with this digest."""
    try:
        return f"{SHEET_MARK}\0{LAYOUT}{plan}".encode() in read_head(sheet)
    except OSError:
        return False


def chosen(count: int, most: int, keyframes: Sequence[int] = ()) -> list[int]:
    """At most so many places, at even distances from the first to the last. A keyframe takes the
    place that is nearest to it, as long as there are places for all of them."""
    if count <= most:
        return list(range(count))
    places = {round(place * (count - 1) / (most - 1)) for place in range(most)}
    wanted = {0, count - 1, *keyframes}
    if len(wanted) <= most:
        for keyframe in sorted(wanted - places):
            places.remove(min(places - wanted, key=lambda place: abs(place - keyframe)))
            places.add(keyframe)
    return sorted(places)


def thumbnail(path: Path) -> Image.Image:
    """A frame, no larger than a page of one frame shows it."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise unread_frame(path, error) from error
    picture.thumbnail((512, 512), Image.Resampling.LANCZOS)
    return picture


def page_of(
    thumbnails: Sequence[tuple[PlannedFrame, Image.Image]],
    width: int,
    letters: Letters,
    title: str,
    film: CommonValues,
    curves: ValueCurves,
    keyframes: Sequence[int],
) -> Image.Image:
    """The page: a title, then rows of cells as high as the longest caption, then curves."""
    first = thumbnails[0][1]
    columns = columns_for(len(thumbnails), first.width / first.height)
    size = cell_size(first, columns, width)
    colours = prompt_colours(frame for frame, _ in thumbnails)
    captions = [caption(frame, letters, size[0], colours, film) for frame, _ in thumbnails]
    step = line_height(letters.small)
    row = size[1] + BAR_GAP + BAR + 10 + step * (1 + max(map(len, captions))) + GAP
    head = MARGIN + line_height(letters.large) + GAP
    page = Image.new(
        "RGB",
        (
            2 * MARGIN + columns * (size[0] + GAP) - GAP,
            (foot := head + row * math.ceil(len(captions) / columns)) + foot_height(curves),
        ),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(page)
    room = page.width - 2 * MARGIN
    spelled = cut(letters.spell(title), letters.large, room)
    draw.text((MARGIN, MARGIN - 6), spelled, INK, letters.large)
    for place, ((frame, picture), lines) in enumerate(zip(thumbnails, captions, strict=True)):
        left, top = MARGIN + place % columns * (size[0] + GAP), head + place // columns * row
        shown = picture.resize(size, Image.Resampling.LANCZOS)
        page.paste(shown, (left, top))
        draw_cell(draw, Cell(frame, shown, lines, left, top), letters, colours)
    draw_curves(page, curves, (MARGIN, foot, room), letters, colours, FAINT, keyframes)
    return page


def dithered(page: Image.Image) -> Image.Image:
    """The page in 256 colours; without dithering skies would fall into bands."""
    palette = page.resize((512, 512), Image.Resampling.NEAREST).quantize(256)
    return page.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def columns_for(count: int, aspect: float) -> int:
    """Six in a row, four of wide pictures, a third more of many; fewer where that leaves a tidier
    page."""
    most = 4 if aspect > 1.3 else 6
    most += most // 3 if count > LARGE else 0
    if count <= most:
        return count
    return min(range(most, most - 3, -1), key=lambda columns: (-count % columns, -columns))


def cell_size(picture: Image.Image, columns: int, width: int) -> tuple[int, int]:
    """A thumbnail's width and height; a few small pictures are not blown up over a page."""
    wide = (width - 2 * MARGIN - (columns - 1) * GAP) // columns
    wide = min(wide, max(220, picture.width))
    return wide, max(1, round(wide * picture.height / picture.width))


def prompt_colours(frames: Iterable[PlannedFrame]) -> Mapping[str, Colour]:
    """A colour for each prompt, far from its neighbours' (steps of the golden angle)."""
    texts = dict.fromkeys(text for frame in frames for text, _ in frame.spec.prompts)
    colours = {}
    for place, text in enumerate(texts):
        rgb = colorsys.hls_to_rgb((0.08 + place * 0.381966) % 1, 0.66, 0.62)
        colours[text] = (round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2]))
    return colours


def caption(
    frame: PlannedFrame,
    letters: Letters,
    width: int,
    colours: Mapping[str, Colour],
    film: CommonValues = CommonValues(),
) -> list[Line]:
    """The prompts, heaviest first, in at most four lines; two of them each if there are several.
    Then seeds and guidance, if they change in the film, and whether it bridges a jump."""
    heaviest = sorted(frame.spec.prompts, key=lambda prompt: -prompt[1])
    alone = len(heaviest) == 1
    beside = width - (0 if alone else letters.small.getlength("88%  "))
    lines: list[Line] = []
    for text, weight in heaviest:
        line = one_line(text)[:LONGEST]
        pieces = fitted(line, film.differs.get(line, 0), letters, beside, 3 if alone else 2)
        lines.append(("" if alone else f"{weight:.0%}  ", pieces[0], colours[text]))
        lines += [("", piece, colours[text]) for piece in pieces[1:]]
    more = [*settings(frame.spec, film), *(["bridges a jump"] if frame.bridge else [])]
    return lines[:TEXT_LINES] + [("", cut(line, letters.small, width), FAINT) for line in more]


def settings(spec: FrameSpec, film: CommonValues) -> Iterator[str]:
    """A frame's seeds and guidance, as far as they change in the film."""
    if film.seeds:
        heaviest = sorted(spec.seeds, key=lambda seed: -seed[1])
        alone = len(heaviest) == 1
        shares = [str(seed) if alone else f"{seed} {weight:.0%}" for seed, weight in heaviest]
        yield f"seed{'' if alone else 's'} {', '.join(shares)}"
    if film.guidance:
        yield f"guidance {spec.guidance:.3g}"


def draw_cell(
    draw: ImageDraw.ImageDraw, cell: Cell, letters: Letters, colours: Mapping[str, Colour]
) -> None:
    """The weights' bar under the picture, then time and index, then the prompts."""
    left, below = float(cell.left), cell.top + cell.picture.height + BAR_GAP
    for text, weight in cell.frame.spec.prompts:
        right = left + weight * cell.picture.width
        if round(right) > round(left):  # else its part is too small to be seen
            draw.rectangle((round(left), below, round(right) - 1, below + BAR - 1), colours[text])
        left = right
    below += BAR + 6
    draw.text((cell.left, below), f"{float(cell.frame.time):.2f} s", INK, letters.small)
    index = f"frame {cell.frame.index}"
    edge = cell.left + cell.picture.width - letters.small.getlength(index)
    draw.text((edge, below), index, FAINT, letters.small)
    indent = max(letters.small.getlength(mark) for mark, _, _ in cell.lines)
    for mark, text, colour in cell.lines:
        below += line_height(letters.small)
        left = cell.left + (0 if colour == FAINT else indent)
        draw.text((cell.left, below), mark, colour, letters.small)
        draw.text((left, below), text, FAINT, letters.small)
