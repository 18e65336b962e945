"""The model store: what is fetched, taken in, verified, found and removed, and what the commands say about it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from tests.misbehaving import serving
from zido_core import adopt as adopt_module
from zido_core import catalog, cli, cli_models, obtain, store
from zido_core.adopt import adopt, recognise
from zido_core.catalog import MODELS, describe
from zido_core.connection import Policy
from zido_core.download import ON_HUB, url_of
from zido_core.errors import (
    Cancelled,
    ConfigurationError,
    DownloadFailed,
    InputNotFound,
    InvalidOptions,
    ModelMissing,
    OutputFailed,
    OutputNotWritable,
)
from zido_core.job import Progress, Stage
from zido_core.model_files import APACHE, DAPE, STABILITY_RESEARCH, FileSet, ModelFile, is_pickle, licences_of
from zido_core.obtain import Transfer, get, lacking
from zido_core.store import Store, everything, home, resolve, tagger_folder, wanted
from zido_core.wire import decode

ROOT = Path(__file__).resolve().parents[1]
HURRIED = Policy(stall=20.0, retries=1, back_off=0.0)

TENSORS = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.ones(3)}
WEIGHTS = save(TENSORS)
CONFIG = b'{"width": 12}'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The store of these tests."""
    monkeypatch.setenv("ZIDO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return Store()


@pytest.fixture
def server(monkeypatch):
    with serving() as server:
        server.content = WEIGHTS
        monkeypatch.setenv("HF_ENDPOINT", server.url("well", "hub"))
        yield server


def a_file(path: str, *sources: str, **known: object) -> ModelFile:
    return ModelFile(path=path, sources=sources, licence=APACHE, **known)


def a_model(*files: ModelFile, name: str = "tiny") -> FileSet:
    return FileSet(name=name, title="A tiny model", files=files)


def put(store: Store, file: ModelFile, content: bytes = WEIGHTS) -> Path:
    path = store.path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    store.records.keep(file.path, store.describe(file, "a test", sha256(content)))
    return path


@pytest.fixture
def known(monkeypatch):
    """Make file sets known to the commands."""

    def make(*sets: FileSet) -> None:
        monkeypatch.setattr(store, "FILE_SETS", {each.name: each for each in sets})
        monkeypatch.setattr(store, "MODELS", {"mini": describe("mini")})
        monkeypatch.setattr(cli_models, "MODELS", store.MODELS)

    return make


class TestCatalogue:
    """What it says of files."""

    FILES = tuple(dict.fromkeys(file for model in everything() for file in model.files if not file.embedded))

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
    def test_sources_are_on_the_hub_or_addresses(self, file):
        assert file.sources or file.path.startswith("deedsr/")  # nobody has published it
        for source in file.sources:
            assert ON_HUB.fullmatch(source) or source.startswith("https://")
            assert url_of(source).startswith("https://")
            assert source.rpartition("/")[2].rpartition(":")[2]

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
    def test_a_file_is_a_pickle_at_all_sources_or_at_none(self, file):
        assert len({is_pickle(source) for source in file.sources}) <= 1

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
    def test_hashes_are_whole_and_come_with_sizes(self, file):
        assert (file.sha256 is None) == (file.size is None)
        assert file.sha256 is None or len(file.sha256) == 64

    def test_stable_diffusion_2_is_not_looked_for_where_it_was_withdrawn(self):
        sources = [source for file in self.FILES for source in file.sources]
        assert not [source for source in sources if source.startswith("stabilityai/stable-diffusion-2")]

    @pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
    def test_a_model_is_as_free_as_its_least_free_file(self, model):
        assert model.commercial == all(licence.commercial for licence in licences_of(model))

    def test_no_file_is_described_in_two_ways(self):
        paths = [file.path for file in self.FILES]
        assert len(paths) == len(set(paths))


class TestPlaces:
    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            ({"ZIDO_HOME": "/a", "XDG_DATA_HOME": "/b"}, "/a"),
            ({"XDG_DATA_HOME": "/b"}, "/b/zido"),
            ({"HOME": "/c"}, "/c/.local/share/zido"),
        ],
    )
    @pytest.mark.skipif(sys.platform == "win32", reason="folders of Linux and macOS")
    def test_the_environment_chooses_the_folder(self, monkeypatch, variables, expected):
        for name in ("ZIDO_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert home() == Path(expected)

    def test_an_embedded_model_is_in_the_package(self):
        assert resolve(describe("mini")) == Path(store.__file__).parent

    def test_the_users_folder_is_taken_as_it_is(self, tmp_path):
        assert resolve(describe("zido"), str(tmp_path)) == tmp_path
        with pytest.raises(ModelMissing, match=r"there is no folder .*away for model zido; run `zido models get zido`"):
            resolve(describe("zido"), tmp_path / "away")

    def test_missing_files_are_named_with_the_command_that_gets_them(self, place):
        with pytest.raises(ModelMissing, match=r"its files are not in .*; run `zido models get zido`.* --model-dir"):
            resolve(describe("zido"))
        for sources, command in (((), "import FOLDER tiny"), (("https://host/b",), "get tiny")):
            model = a_model(a_file("a.json", *sources), a_file("b.json", *sources))
            put(place, model.files[0])
            told = rf"1 of 2 files are not in .*models \(b.json\); run `zido models {command}`"
            with pytest.raises(ModelMissing, match=told):
                resolve(model)

    def test_a_complete_model_is_found(self, place):
        model = a_model(a_file("a.safetensors"))
        put(place, model.files[0])
        assert resolve(model) == place.folder

    def test_a_tagger_that_comes_with_a_model_is_got_with_it(self, place):
        assert tagger_folder("clip", "mini") is None
        with pytest.raises(ModelMissing, match="zido models get zido"):
            tagger_folder("dape", "zido")
        with pytest.raises(ModelMissing, match=r"zido models get dape.*--tagger-dir"):
            tagger_folder("dape", "mini")

    def test_an_unknown_name_is_answered_with_the_nearest(self):
        assert wanted("dape") is DAPE
        with pytest.raises(InvalidOptions, match="did you mean 'zido'"):
            wanted("zidi")


class TestStates:
    @pytest.fixture
    def file(self):
        return a_file("a.safetensors")

    def test_a_file_changes_from_missing_to_known(self, place, file):
        assert place.state(file) == "missing"
        path = put(place, file)
        assert place.state(file) == "here"
        place.records.drop(file.path)
        assert place.state(file) == "unknown"
        assert "has no record" in place.verify(file)
        path.unlink()
        assert place.verify(file) == "is missing"

    def test_a_change_is_seen_at_a_glance(self, place, file):
        path = put(place, file)
        path.write_bytes(WEIGHTS + b"x")
        assert place.state(file) == "changed"
        path.write_bytes(WEIGHTS[:-1] + b"x")
        os.utime(path, ns=(1, 1))
        assert place.state(file) == "changed"
        with pytest.raises(ModelMissing, match=r"a.safetensors in .* changed since it came; `zido models get tiny`"):
            resolve(a_model(file))

    def test_touching_a_file_is_no_change(self, place, file):
        os.utime(put(place, file), ns=(1, 1))
        assert place.state(file) == "here"

    def test_a_silent_change_is_seen_when_it_is_verified(self, place, file):
        path = put(place, file)
        times = path.stat().st_mtime_ns
        path.write_bytes(WEIGHTS[:-1] + b"x")
        os.utime(path, ns=(times, times))
        assert place.state(file) == "here"
        assert f"recorded is {sha256(WEIGHTS)[:12]}" in place.verify(file)

    def test_a_published_hash_stands_in_for_a_record(self, place):
        file = a_file("a.txt", "o/r@main:a.txt", size=3, sha256=sha256(b"abc"))
        put(place, file, b"abd")
        place.records.drop(file.path)
        assert "has sha256" in place.verify(file)

    @pytest.mark.parametrize(
        "content", ["{", "[]", '{"version": 1}', '{"version": 1, "models": [], "files": {"a": {}}}']
    )
    def test_a_record_that_is_no_record_is_told(self, place, content):
        place.folder.mkdir(parents=True)
        (place.folder / "models.lock.json").write_text(content)
        with pytest.raises(ConfigurationError, match=r"models.lock.json is not understood .* remove it and run"):
            place.records.files  # noqa: B018

    def test_a_record_of_a_newer_version_is_left_alone(self, place):
        place.folder.mkdir(parents=True)
        (place.folder / "models.lock.json").write_text('{"version": 99}')
        with pytest.raises(ConfigurationError, match="newer zido"):
            place.records.choose("mini")


class TestGet:
    def test_all_files_come_and_are_recorded(self, place, server):
        model = a_model(
            a_file("part/a.safetensors", "o/r@main:x/a.safetensors"), a_file("b.safetensors", "o/r@c0ffee:b")
        )
        assert get(model, place, policy=HURRIED) == model.files
        assert [path for path, _ in server.asked] == [
            "/well/hub/o/r/resolve/main/x/a.safetensors",
            "/well/hub/o/r/resolve/c0ffee/b",
        ]
        assert resolve(model) == place.folder
        record = place.records.files["part/a.safetensors"]
        assert (record.size, record.sha256, record.licence) == (len(WEIGHTS), sha256(WEIGHTS), "Apache-2.0")
        assert record.source == "o/r@main:x/a.safetensors"
        assert place.records.chosen == ("tiny",)
        assert all(place.verify(file) is None for file in model.files)

    def test_what_is_here_is_not_fetched_again(self, place, server):
        model = a_model(a_file("a.safetensors", "o/r@main:a"), a_file("b.safetensors", "o/r@main:b"))
        put(place, model.files[0])
        assert get(model, place, policy=HURRIED) == model.files[1:]
        assert get(model, place, policy=HURRIED) == ()
        assert len(server.asked) == 1

    def test_the_next_source_is_asked_when_one_has_nothing(self, place, server):
        notes: list[str] = []
        file = a_file("a.safetensors", server.url("missing"), server.url("page"), server.url("cut"), server.url("well"))
        get(a_model(file), place, policy=HURRIED, on_note=notes.append)
        assert place.path(file).read_bytes() == WEIGHTS
        assert place.records.files["a.safetensors"].source == server.url("well")
        assert [note.partition(" ")[0] for note in notes] == ["a.safetensors:"] * 3
        assert {path.name for path in place.folder.iterdir()} == {"a.safetensors", "models.lock.json", ".lock"}

    def test_a_source_that_was_begun_with_is_asked_first(self, place, server):
        file = a_file("a.safetensors", server.url("missing"), server.url("cut-1"))
        with pytest.raises(DownloadFailed):
            get(a_model(file), place, policy=replace(HURRIED, retries=0))
        get(a_model(file), place, policy=HURRIED)
        assert [path.split("/")[1] for path, _ in server.asked] == ["missing", "cut-1", "cut-1"]
        assert server.starts[-1] == f"bytes={(len(WEIGHTS) + 1) // 2}-"

    def test_when_nobody_has_it_all_reasons_are_told(self, place, server):
        file = a_file("a.safetensors", server.url("missing"), server.url("empty"))
        with pytest.raises(DownloadFailed, match=r"HTTP 404.*; .*an empty file. Try again later .*HF_ENDPOINT.*import"):
            get(a_model(file), place, policy=HURRIED)
        assert not place.path(file).exists()
        assert place.records.chosen == ()

    def test_a_file_that_nobody_offers_is_told_before_anything_comes(self, place, server):
        model = a_model(a_file("a.safetensors", "o/r@main:a"), a_file("b.safetensors"))
        with pytest.raises(ModelMissing, match=r"nobody is known to offer b.safetensors of tiny; `zido models import"):
            get(model, place, policy=HURRIED)
        assert server.asked == []

    def test_what_came_first_is_what_comes_ever_after(self, place, server):
        file = a_file("a.safetensors", server.url("well"))
        get(a_model(file), place, policy=HURRIED)
        place.path(file).unlink()
        server.content = save({"other": torch.zeros(3)})
        with pytest.raises(DownloadFailed, match="what came is not the expected file"):
            get(a_model(file), place, policy=HURRIED)
        assert not place.path(file).exists()
        server.content = WEIGHTS
        get(a_model(file), place, policy=HURRIED)
        assert place.verify(file) is None

    def test_a_spoilt_file_is_replaced(self, place, server):
        file = a_file("a.safetensors", server.url("well"))
        get(a_model(file), place, policy=HURRIED)
        place.path(file).write_bytes(b"spoilt")
        get(a_model(file), place, policy=HURRIED)
        assert place.path(file).read_bytes() == WEIGHTS

    def test_a_file_put_there_by_hand_is_acknowledged(self, place, server):
        file = a_file("a.safetensors", server.url("well"))
        put(place, file)
        place.records.drop(file.path)
        assert get(a_model(file), place, policy=HURRIED) == ()
        assert place.verify(file) is None
        assert server.asked == []

    def test_a_wrong_file_put_there_by_hand_is_not(self, place):
        file = a_file("a.txt", "o/r@main:a.txt", size=3, sha256=sha256(b"abc"))
        put(place, file, b"abd")
        place.records.drop(file.path)
        with pytest.raises(ModelMissing, match=r"a.txt is not a.txt as published .*; remove it"):
            get(a_model(file), place)

    def test_progress_adds_up_over_files(self, place, server, monkeypatch):
        monkeypatch.setattr(obtain, "NEWS_EVERY", 0.0)
        heard: list[Transfer] = []
        model = a_model(a_file("a.safetensors", "o/r@main:a", about=10), a_file("b.safetensors", "o/r@main:b", about=9))
        get(model, place, policy=HURRIED, on_transfer=heard.append)
        done = [transfer.done for transfer in heard]
        assert done == sorted(done)
        assert done[-1] == heard[-1].total == 2 * len(WEIGHTS)
        assert {transfer.file for transfer in heard} == {"a.safetensors", "b.safetensors"}
        assert all(transfer.done <= transfer.total for transfer in heard)

    def test_a_disk_without_room_is_told_first(self, place, server):
        with pytest.raises(OutputFailed, match=r"disk full: the files need about 1000000000.0 GB in .*ZIDO_HOME"):
            get(a_model(a_file("a.safetensors", server.url("well"), about=10**18)), place)
        assert server.asked == []

    def test_a_request_to_stop_is_heard(self, place, server):
        def check() -> None:
            raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            get(a_model(a_file("a.safetensors", server.url("well"))), place, check=check)


class TestPickles:
    FILE = a_file("a.safetensors", "o/r@main:a.pth", leave_out=("decoder.",))

    @pytest.fixture
    def pickled(self, server, tmp_path, monkeypatch):
        torch.save({"model": TENSORS | {"decoder.weight": torch.zeros(2)}}, tmp_path / "a.pth")
        server.content = (tmp_path / "a.pth").read_bytes()
        return server

    @pytest.fixture
    def quick(self, monkeypatch):
        """Conversion without starting torch anew."""

        def convert(source: Path, target: Path, **how: object) -> int:
            assert how["leave_out"] == ("decoder.",)
            if b"decoder" not in source.read_bytes():
                raise ModelMissing("damaged")
            target.write_bytes(WEIGHTS)
            return len(TENSORS)

        monkeypatch.setattr(obtain, "convert", convert)
        monkeypatch.setattr(adopt_module, "convert", convert)

    def test_a_pickle_is_converted_when_it_has_come(self, place, pickled, quick):
        get(a_model(self.FILE), place, policy=HURRIED)
        path = place.path(self.FILE)
        assert set(load_file(path)) == set(TENSORS)
        record = place.records.files["a.safetensors"]
        assert record.original_sha256 == sha256(pickled.content)
        assert record.sha256 == sha256(path.read_bytes())
        assert {path.name for path in place.folder.iterdir()} == {"a.safetensors", "models.lock.json", ".lock"}

    def test_a_pickle_that_came_before_the_run_ended_is_not_fetched_again(self, place, pickled, quick):
        place.folder.mkdir(parents=True)
        (place.folder / "a.pth").write_bytes(pickled.content)
        get(a_model(self.FILE), place, policy=HURRIED)
        assert pickled.asked == []
        assert place.verify(self.FILE) is None
        assert not (place.folder / "a.pth").exists()

    def test_the_pickle_must_be_the_same_ever_after(self, place, pickled, quick):
        get(a_model(self.FILE), place, policy=HURRIED)
        place.path(self.FILE).unlink()
        pickled.content = pickled.content + b"decoder"
        with pytest.raises(DownloadFailed, match="not the expected file"):
            get(a_model(self.FILE), place, policy=HURRIED)

    def test_a_damaged_pickle_does_not_stay(self, place, pickled, quick):
        pickled.content = b"PK\x03\x04"
        with pytest.raises(ModelMissing, match="damaged"):
            get(a_model(self.FILE), place, policy=HURRIED)
        assert {path.name for path in place.folder.iterdir()} == {".lock"}

    def test_import_converts_too(self, place, pickled, quick, tmp_path):
        folder = tmp_path / "mine"
        folder.mkdir()
        shutil.copy(tmp_path / "a.pth", folder)
        adopted = adopt(folder, [a_model(self.FILE)], place)
        assert adopted.taken == (self.FILE,)
        assert place.records.files["a.safetensors"].original_sha256 == sha256(pickled.content)
        assert place.verify(self.FILE) is None
        assert (folder / "a.pth").exists()


BASE = a_file("base/vae/config.json", "org/base@main:vae/config.json")
OWN = a_file("own/unet/w.safetensors", "org/own@main:unet/w.safetensors", "fan/OWN@main:w.safetensors")
ROOTED = a_file("tags.txt", "https://example.org/data/tags.txt", size=3, sha256=sha256(b"abc"))
SEVERAL = a_model(BASE, OWN, ROOTED)


class TestImport:
    def make(self, root: Path, *paths: str, content: bytes = WEIGHTS) -> Path:
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(
                b"abc" if path.endswith(".txt") else CONFIG if path.endswith(".json") else content
            )
        return root

    @pytest.mark.parametrize(
        ("path", "file"),
        [
            ("preset/models/base/vae/config.json", BASE),
            ("hub/models--anybody--base/snapshots/0123abcd/vae/config.json", BASE),
            ("models--fan--OWN/snapshots/0123abcd/w.safetensors", OWN),
            ("org/own/unet/w.safetensors", OWN),
            ("data/tags.txt", ROOTED),
        ],
    )
    def test_files_are_known_by_the_end_of_their_path(self, tmp_path, path, file):
        assert recognise(self.make(tmp_path, path), [SEVERAL]) == {file: tmp_path / path}

    @pytest.mark.parametrize(
        "path", ["vae/config.json", "other/vae/config.json", "unet/w.safetensors", "rebase/vae/config.json"]
    )
    def test_parts_of_who_knows_what_are_not_taken(self, tmp_path, path):
        assert recognise(self.make(tmp_path, path), [SEVERAL]) == {}

    def test_the_folder_itself_may_be_the_part(self, tmp_path):
        self.make(tmp_path, "base/vae/config.json")
        assert set(recognise(tmp_path / "base", [SEVERAL])) == {BASE}

    def test_links_in_a_circle_do_no_harm(self, tmp_path):
        self.make(tmp_path, "base/vae/config.json")
        (tmp_path / "base" / "again").symlink_to(tmp_path)
        assert set(recognise(tmp_path, [SEVERAL])) == {BASE}

    @pytest.mark.parametrize("how", ["link", "copy", "symlink"])
    def test_files_are_linked_or_copied(self, place, tmp_path, how):
        mine = self.make(tmp_path / "mine", "blob")
        (mine / "own" / "unet").mkdir(parents=True)
        (mine / "own" / "unet" / "w.safetensors").symlink_to(mine / "blob")
        adopted = adopt(mine, [a_model(OWN)], place, how=how)
        path = place.path(OWN)
        assert path.read_bytes() == WEIGHTS
        assert path.is_symlink() == (how == "symlink")
        assert path.samefile(mine / "blob") == (how != "copy")
        assert adopted.lacking == {"tiny": ()}
        assert place.records.chosen == ("tiny",)
        assert resolve(a_model(OWN)) == place.folder

    def test_where_links_are_impossible_files_are_copied(self, place, tmp_path, monkeypatch):
        def refuse(*paths: object) -> None:
            raise OSError("no links between disks")

        monkeypatch.setattr(adopt_module.os, "link", refuse)
        adopt(self.make(tmp_path / "mine", "own/unet/w.safetensors"), [SEVERAL], place)
        assert place.verify(OWN) is None

    def test_what_is_missing_is_told(self, place, tmp_path):
        adopted = adopt(self.make(tmp_path / "mine", "base/vae/config.json"), [SEVERAL, a_model(name="none")], place)
        assert adopted.taken == (BASE,)
        assert adopted.lacking == {"tiny": (OWN, ROOTED)}
        assert place.records.chosen == ()
        rest = self.make(tmp_path / "rest", "own/unet/w.safetensors", "tags.txt")
        assert adopt(rest, [SEVERAL], place).lacking == {"tiny": ()}

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
            (WEIGHTS[:-1], "damaged"),
            (b"", "empty"),
        ],
    )
    def test_files_that_are_none_are_refused(self, place, tmp_path, content, told):
        mine = self.make(tmp_path / "mine", "own/unet/w.safetensors", "tags.txt", content=content)
        adopted = adopt(mine, [SEVERAL], place)
        assert adopted.taken == (ROOTED,)
        assert len(adopted.refused) == 1
        assert told in adopted.refused[0]
        assert not place.path(OWN).exists()

    def test_a_file_that_differs_from_the_published_one_is_refused(self, place, tmp_path, capsys, known):
        known(SEVERAL)
        (self.make(tmp_path / "mine", "tags.txt") / "tags.txt").write_bytes(b"abd")
        assert cli.execute(["models", "import", str(tmp_path / "mine")]) == 65
        assert "tags.txt is another file: it has sha256" in capsys.readouterr().err

    def test_a_file_that_differs_from_the_first_one_is_refused(self, place, tmp_path):
        adopt(self.make(tmp_path / "mine", "own/unet/w.safetensors"), [SEVERAL], place, how="copy")
        place.path(OWN).unlink()
        other = self.make(tmp_path / "other", "own/unet/w.safetensors", content=save({"x": torch.zeros(1)}))
        assert "the one that came first had" in adopt(other, [SEVERAL], place).refused[0]

    def test_files_that_lie_in_the_store_without_a_record_get_one(self, place):
        self.make(place.folder, "own/unet/w.safetensors")
        adopt(place.folder, [SEVERAL], place)
        assert place.verify(OWN) is None

    def test_a_folder_that_is_none_or_has_nothing_is_told(self, place, tmp_path):
        with pytest.raises(InputNotFound, match="there is no folder"):
            adopt(tmp_path / "away", [SEVERAL], place)
        with pytest.raises(ModelMissing, match="has no file of tiny"):
            adopt(tmp_path, [SEVERAL], place)


class TestRemove:
    def test_files_go_but_those_of_another_chosen_model(self, place, known):
        shared, first, second = a_file("s.json"), a_file("deep/down/a.json"), a_file("b.json")
        one, two = a_model(shared, first, name="one"), a_model(shared, second, name="two")
        known(one, two)
        for file in (shared, first, second):
            put(place, file, CONFIG)
        place.records.choose("one")
        place.records.choose("two")
        assert place.remove(one) == [place.path(first)]
        assert not (place.folder / "deep").exists()
        assert set(place.remove(two)) == {place.path(shared), place.path(second)}
        assert place.records.files == {}
        assert place.records.chosen == ()

    def test_beginnings_go_too(self, place, known):
        file = a_file("a.safetensors", "o/r@main:x/a.pth")
        known(a_model(file))
        place.folder.mkdir(parents=True)
        for name in ("a.safetensors.part", "a.pth", "a.pth.part", "a.pth.part.json"):
            (place.folder / name).write_bytes(b"x")
        place.remove(a_model(file))
        assert {path.name for path in place.folder.iterdir()} == {"models.lock.json"}


class TestLock:
    HOLD = """
import sys, time
from pathlib import Path
from zido_core.store_lock import StoreLock
with StoreLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

    def test_one_process_waits_for_the_other_and_notices_its_death(self, place):
        place.folder.mkdir(parents=True)
        command = [sys.executable, "-c", self.HOLD, str(place.folder / ".lock")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "held\n"
            told: list[str] = []

            def on_wait(who: str) -> None:
                told.append(who)
                os.kill(owner.pid, signal.SIGKILL)

            with place.lock(on_wait=on_wait):
                assert told == [f"process {owner.pid}"]

    def test_who_waits_can_be_stopped(self, place):
        def check() -> None:
            raise Cancelled("stopped")

        with place.lock(), pytest.raises(Cancelled), place.lock(check=check):
            pass
        with place.lock():
            pass

    def test_two_threads_that_get_the_same_fetch_it_once(self, place, server):
        model = a_model(a_file("a.safetensors", server.url("well")))
        came: list[object] = []
        threads = [threading.Thread(target=lambda: came.append(get(model, place, policy=HURRIED))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(came, key=len) == [(), model.files]
        assert len(server.asked) == 1

    def test_a_folder_that_cannot_be_written_is_told(self, tmp_path):
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(OutputNotWritable, match="ZIDO_HOME chooses another folder"),
            Store(tmp_path / "file").lock(),
        ):
            pass


class TestCommands:
    @pytest.fixture
    def model(self, place, server, known):
        model = a_model(a_file("a.safetensors", "o/r@main:a.safetensors", about=2_000_000))
        known(model)
        return model

    def test_get_shows_licence_and_size_and_fetches(self, model, place, capsys):
        assert cli.execute(["models", "get", "tiny"]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "tiny: A tiny model",
            "Apache-2.0 (any use, with notices kept): https://www.apache.org/licenses/LICENSE-2.0",
            f"about 2.0 MB to {place.folder}",
            f"tiny is complete in {place.folder}",
        ]
        assert cli.execute(["models", "get", "tiny"]) == 0
        assert capsys.readouterr().err == f"complete in {place.folder}\n"

    def test_get_tells_programs_in_json(self, model, capsys):
        assert cli.execute(["models", "get", "tiny", "--json"]) == 0
        out, err = capsys.readouterr()
        events = [decode(line) for line in out.splitlines()]
        assert events[0] == Stage(name="a.safetensors")
        assert events[-1] == Progress(done=len(WEIGHTS), total=len(WEIGHTS), eta=events[-1].eta)
        assert err == ""

    def test_offline_means_no_network_and_one_line(self, model, server, capsys):
        assert cli.execute(["models", "get", "tiny", "--offline"]) == 69
        assert capsys.readouterr().err == (
            "zido: tiny lacks 1 files, and --offline forbids to fetch them; "
            "`zido models import FOLDER tiny` takes them from a folder\n"
        )
        assert server.asked == []

    def test_weights_that_are_not_for_commerce_want_a_word(self, place, server, known, capsys):
        known(a_model(replace(a_file("a.safetensors", server.url("well")), licence=STABILITY_RESEARCH)))
        assert cli.execute(["models", "get", "tiny"]) == 2
        err = capsys.readouterr().err
        assert "NOTICE: not for commercial use" in err
        assert "then give --accept-licence" in err
        assert server.asked == []
        assert cli.execute(["models", "get", "tiny", "--accept-licence", "-q"]) == 0
        assert capsys.readouterr().err == ""

    def test_a_person_is_asked(self, model, server, monkeypatch, capsys):
        monkeypatch.setattr(cli_models.sys.stdin, "isatty", lambda: True, raising=False)
        asked: list[str] = []

        def refuse(question: str, **how: object) -> None:
            asked.append(question)
            raise cli_models.click.Abort

        monkeypatch.setattr(cli_models.click, "confirm", refuse)
        assert cli.execute(["models", "get", "tiny"]) == 130
        assert asked == ["Fetch it under these licences?"]
        assert server.asked == []

    def test_verify_reads_what_was_asked_for(self, model, place, capsys):
        cli.execute(["models", "get", "tiny"])
        capsys.readouterr()
        assert cli.execute(["models", "verify"]) == 0
        assert "ok   a.safetensors" in capsys.readouterr().out.splitlines()
        place.path(model.files[0]).write_bytes(WEIGHTS[:-1])
        assert cli.execute(["models", "verify", "tiny"]) == 69
        out, err = capsys.readouterr()
        assert out.startswith("FAIL a.safetensors has sha256 ")
        assert err == "zido: 1 files are not as they should be; `zido models get` fetches them again\n"

    def test_import_tells_what_it_took_and_what_is_lacking(self, place, known, tmp_path, capsys):
        known(SEVERAL)
        mine = TestImport().make(tmp_path / "mine", "own/unet/w.safetensors", "tags.txt")
        assert cli.execute(["models", "import", str(mine)]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"own/unet/w.safetensors from {mine}/own/unet/w.safetensors",
            f"tags.txt from {mine}/tags.txt",
            "tiny lacks 1 files: base/vae/config.json; `zido models get tiny`",
        ]
        assert (
            cli.execute(["models", "import", str(TestImport().make(mine, "base/vae/config.json")), "tiny", "--copy"])
            == 0
        )
        assert capsys.readouterr().out.splitlines()[-1] == "tiny is complete"

    def test_path_list_licence_and_rm(self, model, place, capsys):
        assert cli.execute(["models", "path", "tiny", "--files"]) == 0
        assert capsys.readouterr().out == f"{place.folder}\nmissing  a.safetensors\n"
        cli.execute(["models", "get", "tiny"])
        capsys.readouterr()
        assert cli.execute(["models", "path", "--files"]) == 0
        assert "here     a.safetensors" in capsys.readouterr().out
        assert cli.execute(["models", "licence", "tiny"]) == 0
        assert capsys.readouterr().out.startswith("Apache-2.0 (")
        assert cli.execute(["models", "rm", "tiny"]) == 0
        assert capsys.readouterr().out == "tiny: 1 files removed\n"
        assert lacking(model, place) == model.files

    def test_the_embedded_model_stays(self, place, capsys):
        assert cli.execute(["models", "rm", "mini"]) == 2
        assert cli.execute(["models", "get", "mini"]) == 0
        assert cli.execute(["models", "path", "mini"]) == 0
        assert cli.execute(["models", "licence", "mini"]) == 0
        out, err = capsys.readouterr()
        assert out.splitlines() == [str(Path(store.__file__).parent), "MIT"]
        assert "ships with zido" in err

    def test_the_list_says_what_is_here(self, place, capsys):
        assert cli.execute(["models"]) == 0
        out = capsys.readouterr().out
        assert "ships with zido" in out
        assert "zido models get seesr-turbo" in out
        assert "zido models import FOLDER deedsr" in out  # nobody offers it
        assert cli.execute(["models", "list", "--json"]) == 0
        entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
        assert set(entries) == set(catalog.MODELS)
        assert entries["mini"]["lacking"] == []
        assert "DAPE.safetensors" in entries["zido"]["lacking"]
