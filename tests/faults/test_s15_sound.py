"""S15: a sound file is data: no playlist is followed, and the plan refuses what is no sound."""

import os
import socket
import subprocess
import threading
import time
import wave

import imageio_ffmpeg
import pytest

SMALL = ("output.fps=4", "output.width=64", "output.height=64")
CALL = ("+timeline=film", *SMALL)
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TEXTS = {
    "text": "my notes of the film, and nothing else\n",
    "an HLS playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{wav}\n#EXT-X-ENDLIST\n",
    "a playlist of another machine": "#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n",
    "a concat script": "ffconcat version 1.0\nfile '{wav}'\n",
    "a cue sheet": 'FILE "{wav}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "an SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
    "a DASH manifest": '<?xml version="1.0"?><MPD type="static"><BaseURL>{wav}</BaseURL></MPD>',
    "a PLS": "[playlist]\nFile1={wav}\nNumberOfEntries=1\n",
    "long text": "é and so on, " * 10_000,
}


@pytest.fixture(scope="module")
def place(calls):
    """A folder of sounds, with a film of nine frames: 2.25 s."""
    calls.site.timeline("film", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 2, "prompt": "two"}])
    folder = calls.site.here / "sounds"
    folder.mkdir()
    tone(folder / "tone.wav", 2.25)
    return folder


def tone(path, seconds):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x20\x00\xe0" * int(4000 * seconds))
    return path


def made(path, *arguments):
    """A file that ffmpeg makes of a test picture and a tone."""
    sources = ["-f", "lavfi", "-i", "testsrc=d=2:s=64x64", "-f", "lavfi", "-i", "sine=d=2.25"]
    subprocess.run([FFMPEG, "-y", "-v", "error", *sources, *arguments, path], check=True)
    return path


def planned(calls, audio):
    return calls(*CALL, "mode=plan", f"output.audio={audio}")


def refused(answer, said):
    """A line of the plan with the way out, before any library of models is there."""
    assert answer.code == 2, (answer.out, answer.err)
    (line,) = answer.err.splitlines()
    assert line.startswith("render: output.audio: ")
    assert said in line
    assert "give " in line
    assert not answer.modules


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", ["list.wav", "list.m3u8"])
def test_a_list_of_other_files_is_refused_and_not_followed(calls, place, kind, name):
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        listening = threading.Thread(target=note_calls, args=(server, asked), daemon=True)
        listening.start()
        port = server.getsockname()[1]
        text = TEXTS[kind].format(wav=place / "tone.wav", port=port)
        (place / name).write_text(text)
        began = time.monotonic()
        refused(planned(calls, place / name), "is a text and no sound (a playlist is not followed)")
        assert time.monotonic() - began < 20
    listening.join()
    assert asked == []


def note_calls(server, asked):
    """Whoever calls the server while it is open."""
    while server.fileno() >= 0:
        try:
            asked.append(server.accept())
        except TimeoutError:
            continue
        except OSError:
            return


def test_what_holds_no_sound_is_reported_in_the_plan(calls, place):
    silent = made(place / "silent.mp4", "-map", "0:v")
    refused(planned(calls, silent), "silent.mp4 has no sound")
    (place / "empty.wav").write_bytes(b"")
    refused(planned(calls, place / "empty.wav"), "empty.wav is empty")
    (place / "noise.mp3").write_bytes(bytes(range(256)) * 400)
    refused(planned(calls, place / "noise.mp3"), "noise.mp3 is no sound that can be read")
    (place / "picture.mp3").write_bytes(made(place / "one.png", "-frames:v", "1").read_bytes())
    refused(planned(calls, place / "picture.mp3"), "picture.mp3 is no sound that can be read")
    cut = (place / "tone.wav").read_bytes()[:44]
    (place / "cut.wav").write_bytes(cut)
    refused(planned(calls, place / "cut.wav"), "cut.wav is no sound that can be read")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "absent"])
def test_what_is_no_file_is_reported_at_once(calls, place, kind):
    path = place / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    refused(planned(calls, path), "is not a file")


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "m4a", "opus", "mkv", "mp4", "aiff"])
def test_what_holds_sound_is_taken_whatever_it_is_called(calls, place, kind):
    video = ["-map", "0:v", "-map", "1:a"] if kind in ("mkv", "mp4") else ["-map", "1:a"]
    path = made(place / f"sound.{kind}", *video)
    path.rename(place / f"sound-{kind}.bin")
    answer = planned(calls, place / f"sound-{kind}.bin")
    assert answer.code == 0, answer.err
    assert "output.audio" not in answer.out


def test_a_link_to_a_sound_is_followed(calls, place):
    link = place / "link.wav"
    link.symlink_to(place / "tone.wav")
    assert planned(calls, link).code == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1.0, "is 1.00 s long and the film 2.25 s: its last 1.25 s are silent"),
        (2.0, "the last keyframe's own frame stands after the end of the sound, and"),
        (5.5, "is 5.50 s long and the film 2.25 s: the last 3.25 s of the sound are left out"),
    ],
)
def test_another_length_is_reported_with_both(calls, place, seconds, said):
    answer = planned(calls, tone(place / f"tone-{seconds}.wav", seconds))
    assert answer.code == 0
    assert said in answer.out


def test_an_open_end_is_as_long_as_the_sound(calls, place):
    audio = tone(place / "beats.wav", 2.0)
    answer = calls(*CALL, "mode=plan", f"output.audio={audio}", "timeline.end=open")
    assert answer.code == 0
    assert "8 frames" in answer.out
    assert "output.audio" not in answer.out


def test_the_sound_that_was_read_is_the_one_that_is_heard(calls, place):
    """The path leads to another file as soon as it was opened; the film's sound is the first's."""
    sound = made(place / "first.flac", "-map", "1:a")
    decoy = place / "decoy.flac"
    decoy.write_text("#EXTM3U\n/etc/passwd\n")
    wrapper = place / "ffmpeg"
    script = f'#!/bin/sh\ncase "$*" in *rawvideo*) cp "{decoy}" "{sound}.new"; '
    script += f'mv "{sound}.new" "{sound}" ;; esac\nexec "{FFMPEG}" "$@"\n'
    wrapper.write_text(script)
    wrapper.chmod(0o755)
    env = {"IMAGEIO_FFMPEG_EXE": str(wrapper)}
    answer = calls(*CALL, "root=swapped", f"output.audio={sound}", env=env)
    assert answer.code == 0, answer.err
    assert sound.read_text().startswith("#EXTM3U")
    video = calls.site.here / "swapped" / "film" / "film.mp4"
    heard = [FFMPEG, "-v", "error", "-i", video, "-map", "0:a:0", "-f", "s16le", "-"]
    assert len(subprocess.run(heard, capture_output=True, check=True).stdout) > 100_000
    assert not list(video.parent.glob("*.tmp"))
