"""S11: a published film names no folder of its maker's machine, and so no user and no client."""

import subprocess
import wave

import imageio_ffmpeg
import pytest
from PIL import Image
from things import picture

FORMATS = ["mp4", "av1", "webm", "prores", "gif", "webp", "apng"]
LOUD = ["mp4", "av1", "webm", "prores"]
SECRETS = ("alice", "client-x", "embargo")
SMALL = ("output.fps=2", "output.width=64", "output.height=64")


@pytest.fixture(scope="module")
def place(calls):
    """A place in which every path leads through folders that nobody should read of."""
    folder = calls.site.here / "home" / "alice" / "client-x" / "embargo"
    folder.mkdir(parents=True)
    (folder / "start.png").write_bytes(picture())
    with wave.open(str(folder / "voice.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\1\2" * 12_000)
    keyframes = [{"at": 0, "prompt": "A castle", "image": str(folder / "start.png")}, {"at": 1}]
    calls.site.timeline("film", keyframes)
    return folder


def published(calls, folder, output):
    """The files that a maker hands on, of a film in this format."""
    root = folder / f"root-{output}"
    audio = [f"output.audio={folder}/voice.wav"] if output in LOUD else []
    answer = calls("+timeline=film", f"root={root}", f"output={output}", *SMALL, *audio)
    assert answer.code == 0, answer.err
    made = [path for path in (root / "film").iterdir() if path.suffix not in (".json", ".yaml")]
    made = [path for path in made if path.is_file() and path.name not in (".lock", "render.log")]
    pages = [path for path in made if path.suffix in (".html", ".js")]
    made = [path for path in made if path not in pages]
    frames = sorted((root / "film" / "frames").iterdir())
    assert len(frames) == 3
    assert len(made) == 2  # the video and the sheet
    assert len(pages) == 2
    return [*made, *frames, *pages]


@pytest.mark.parametrize("output", FORMATS)
def test_no_file_that_is_handed_on_names_a_folder(calls, place, output):
    for path in published(calls, place, output):
        content = path.read_bytes()
        texts = everything(path)
        for secret in (*SECRETS, str(calls.site.folder)):
            assert secret.encode() not in content, path
            assert secret not in texts, path


def everything(path):
    """The texts that programs read in a file: ffmpeg's metadata, or Pillow's, compressed texts
    included."""
    if path.suffix in (".html", ".js"):
        return path.read_text()
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
            return str(image.info)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path]
    texts = subprocess.run([*command, "-f", "ffmetadata", "-"], capture_output=True, check=True)
    return texts.stdout.decode()


def test_the_film_still_says_what_it_was_made_of(calls, place):
    video = next(path for path in published(calls, place, "mp4") if path.suffix == ".mp4")
    texts = everything(video)
    assert "A castle" in texts
    assert "voice.wav" in texts
    assert "start.png" in texts
    assert '"root"' not in texts
