"""The model as a plan needs it: what it is by its content, found without network or torch."""

import json
import os
import shutil

import pytest
from films import SIDE, write_model

from render.config.model_group import ModelConfig
from render.errors import ConfigError
from render.models import identity as hashing
from render.models.identity import remember, remembered
from render.models.resolve import resolve_model

COMMIT = "133a221b8aa7292a167afc5127cb63fb5005638b"


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "model")


def written(path=None, **more):
    fields = {"name": "tiny", "path": path, "steps": 4, "guidance": 7.5} | more
    return ModelConfig.model_validate(fields)


def hub(**more):
    return written(repository="org/model", family="StableDiffusionPipeline", **more)


def identity(folder, known=None, **more):
    known = {} if known is None else known
    return resolve_model(written(folder, **more), known, folder.parent).identity


def refusal(config, here):
    with pytest.raises(ConfigError) as error:
        resolve_model(config, {}, here)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's client, and no network."""
    from huggingface_hub import HfApi, constants

    def unreachable(self, repository, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(HfApi, "model_info", unreachable)
    return tmp_path / "hub" / "models--org--model"


def test_what_a_folder_says_of_itself(folder):
    model = resolve_model(written("model"), {}, folder.parent)
    assert (model.width, model.height, model.multiple) == (SIDE, SIDE, 8)
    assert model.scheduler == "PNDMScheduler"
    assert model.tokenizer == folder / "tokenizer"
    assert model.source.family == "StableDiffusionPipeline"


def test_the_config_has_the_last_word_on_size(folder):
    model = resolve_model(written(folder, width=96, multiple=12), {}, folder)
    assert (model.width, model.height, model.multiple) == (96, SIDE, 24)


def test_touch_copy_and_rename_change_nothing(folder, tmp_path):
    before = identity(folder)
    for file in folder.rglob("*.*"):
        os.utime(file, (1, 1))
    assert identity(folder) == before
    shutil.copytree(folder, tmp_path / "copy")
    assert identity(tmp_path / "copy") == before
    folder.rename(tmp_path / "renamed")
    assert identity(tmp_path / "renamed") == before
    (tmp_path / "renamed" / "README.md").write_text("hello")
    (tmp_path / "renamed" / "unet" / "old.bin").write_bytes(b"pickle")
    assert identity(tmp_path / "renamed") == before


def test_every_file_that_is_loaded_counts(folder):
    (folder / "tokenizer" / "chat_template.jinja").write_text("{{ messages }}")
    before = identity(folder)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 14
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        assert identity(folder) != before
        file.write_bytes(content)
    assert identity(folder) == before


def test_one_changed_byte_of_a_weight_is_another_model(folder):
    before, weights = identity(folder), folder / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[7] ^= 1
    weights.write_bytes(content)
    assert identity(folder) != before


def test_another_name_of_a_weight_file_is_another_model(folder):
    before = identity(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(
        folder / "unet" / "other.safetensors"
    )
    assert identity(folder) != before


def test_a_variant_is_another_model(folder, cache):
    assert identity(folder) != identity(folder, variant="fp16")
    commits = {
        resolve_model(hub(revision=COMMIT, width=8, height=8, variant=v), {}, folder).identity
        for v in (None, "fp16")
    }
    assert len(commits) == 2


@pytest.fixture
def hashings(folder, monkeypatch):
    """The big file of the folder, and the inodes of the files that are read for a hash."""
    monkeypatch.setattr(hashing, "REMEMBERED_BYTES", 4096)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"w" * 5000)
    read, real = [], hashing.hashlib.file_digest

    def counted(stream, name):
        read.append(os.fstat(stream.fileno()).st_ino)
        return real(stream, name)

    monkeypatch.setattr(hashing.hashlib, "file_digest", counted)
    return weights, read


def test_a_big_file_is_hashed_once(folder, hashings, tmp_path):
    weights, read = hashings
    known, memory = {}, tmp_path / "store" / "models.json"
    before = identity(folder, known)
    remember(memory, known)
    assert read.count(weights.stat().st_ino) == 1
    assert identity(folder, remembered(memory)) == before
    assert read.count(weights.stat().st_ino) == 1
    assert len(known) == 1  # small files are read faster than remembered


@pytest.mark.parametrize("change", ["time", "size"])
def test_a_file_of_another_time_or_size_is_hashed_again(folder, hashings, change):
    weights, read = hashings
    known = {}
    before = identity(folder, known)
    status = weights.stat()
    weights.write_bytes(b"v" * (5000 if change == "time" else 5001))
    os.utime(weights, ns=(0, status.st_mtime_ns + (change == "time")))
    assert identity(folder, known) != before
    assert read.count(weights.stat().st_ino) == 2


@pytest.mark.parametrize("how", ["another", "in place"])
def test_a_file_of_the_same_time_and_size_is_hashed_again_if_it_is_another(folder, hashings, how):
    weights, _ = hashings
    known = {}
    before, status = identity(folder, known), weights.stat()
    if how == "another":
        weights.unlink()
    weights.write_bytes(b"v" * 5000)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity(folder, known) != before


def test_a_file_that_is_being_written_is_reported(folder, hashings, monkeypatch):
    real = hashing.hashlib.file_digest

    def written_meanwhile(stream, name):
        hashings[0].write_bytes(b"v" * 5001)
        return real(stream, name)

    monkeypatch.setattr(hashing.hashlib, "file_digest", written_meanwhile)
    assert "can't be read (it is being written)" in refusal(written(folder), folder)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"half": ', '{"other": 3}'])
def test_a_damaged_memory_only_costs_time(folder, tmp_path, content):
    memory = tmp_path / "models.json"
    memory.write_text(content)
    assert identity(folder, remembered(memory)) == identity(folder)


def test_a_memory_that_can_not_be_written_only_costs_time(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    remember(tmp_path / "file" / "models.json", {"a": [1, 2, "b"]})
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_unknown_pipeline_is_refused_by_name(tmp_path):
    said = refusal(written(write_model(tmp_path / "odd", "OddPipeline")), tmp_path)
    assert "model_index.json: " in said
    assert "'OddPipeline'" in said
    assert "StableDiffusionPipeline" in said


def test_a_missing_folder_is_reported(tmp_path):
    assert refusal(written("nowhere"), tmp_path) == (
        f"model.path: {tmp_path / 'nowhere'} is no diffusers folder (there is nothing of this name)"
    )


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_broken_index_is_reported(folder, content):
    (folder / "model_index.json").write_text(content, encoding="latin-1")
    assert "model_index.json: " in refusal(written(folder), folder)


@pytest.mark.parametrize("name", ["../unet", "/etc", "a/b"])
def test_a_component_lies_in_the_models_own_folder(folder, name):
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {name: ["diffusers", "X"]}))
    assert "no name of a component" in refusal(written(folder), folder)


def test_a_file_that_was_not_downloaded_is_reported(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.safetensors").symlink_to(folder / "gone")
    assert "model.safetensors can't be read (No such file" in refusal(written(folder), folder)


def test_a_folder_without_its_size_needs_one(folder):
    (folder / "unet" / "config.json").unlink()
    said = refusal(written(folder, height=64), folder)
    assert said.startswith("model.width: the folder does not say")
    assert resolve_model(written(folder, height=64, width=64), {}, folder).width == 64


def test_a_pinned_commit_needs_neither_network_nor_cache(cache, tmp_path):
    model = resolve_model(hub(revision=COMMIT, width=512, height=512), {}, tmp_path)
    assert model.identity == f"org/model@{COMMIT}"
    assert (model.scheduler, model.tokenizer) == (None, None)


def test_a_revision_is_what_the_local_cache_says(cache, tmp_path):
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    write_model(cache / "snapshots" / COMMIT)
    model = resolve_model(hub(), {}, tmp_path)
    assert model.identity == f"org/model@{COMMIT}"
    assert (model.width, model.scheduler) == (SIDE, "PNDMScheduler")
    assert model.source.revision == COMMIT


def test_a_cached_model_of_an_unknown_pipeline_is_refused(cache, tmp_path):
    write_model(cache / "snapshots" / COMMIT, "OddPipeline")
    assert "'OddPipeline'" in refusal(hub(revision=COMMIT), tmp_path)


def test_a_revision_is_asked_of_the_hub_last(cache, tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    class Info:
        sha = COMMIT

    monkeypatch.setattr(HfApi, "model_info", lambda self, repository, **options: Info)
    model = resolve_model(hub(revision="v2", width=8, height=8), {}, tmp_path)
    assert model.identity == f"org/model@{COMMIT}"


def test_an_unreachable_hub_is_one_line_with_the_way_out(cache, tmp_path):
    said = refusal(hub(revision="v2", width=8, height=8), tmp_path)
    assert said.startswith("model.revision: the hub can't say what org/model at 'v2' is")
    for way in ("pin model.revision", "hf download org/model", "model=local", "model=storybook"):
        assert way in said


def test_the_hubs_offline_mode_is_one_line_too(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "switched off by HF_HUB_OFFLINE" in refusal(
        hub(revision="v2", width=8, height=8), tmp_path
    )
