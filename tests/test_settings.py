"""What the window remembers, and that nothing old or damaged keeps it from opening."""

from __future__ import annotations

import json
import sys

import pytest
from zido.plugin import settings
from zido.plugin.settings import Settings
from zido.zido_core.options import Options


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZIDO_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_nothing_saved_gives_the_defaults():
    assert settings.load() == Settings()


def test_what_is_saved_comes_back():
    kept = Settings(
        options=Options(scale=2, preset="fast", bands=(4, 3, 2), creation_options=("A=1",)),
        folder="/data",
        geometry=(900, 600),
        open_sections=("prompts",),
    )
    settings.save(kept)
    assert settings.load() == kept


def test_options_of_one_run_are_forgotten():
    settings.save(Settings(options=Options(prompts="a.geojson", save_prompts="b.geojson", manifest="m.json", seed=5)))
    assert settings.load().options == Options(seed=5)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 0}', '{"version": 1, "geometry": 3}', '{"version": 1, "geometry": ["a", 1]}', "\x00"],
)
def test_a_file_that_cannot_be_understood_is_as_none(folder, content):
    folder.mkdir()
    (folder / "window.json").write_text(content)
    assert settings.load() == Settings()


def test_options_that_are_none_today_are_left_out_and_the_others_kept(folder):
    folder.mkdir()
    options = {"scale": 2, "sharpness": 9, "seed": -1, "model": "gone", "bands": [1, 2], "preset": "fast"}
    (folder / "window.json").write_text(json.dumps({"version": 1, "options": options}))
    assert settings.load().options == Options(scale=2, preset="fast")


def test_a_folder_that_cannot_be_written_is_no_failure(folder):
    folder.write_text("a file is in the way")
    settings.save(Settings(folder="/data"))
    assert settings.load() == Settings()


def test_what_cannot_be_used_is_not_kept():
    def wrong() -> Options:
        return Options(scale=99)

    before = Settings(options=Options(scale=3), folder="/a")
    after = settings.updated(before, folder="", geometry=(1, 2), open_sections=(), options=wrong)
    assert after == Settings(options=Options(scale=3), folder="/a", geometry=(1, 2))


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [("linux", "XDG_CONFIG_HOME", "zido"), ("win32", "APPDATA", "zido")],
)
def test_each_system_has_its_folder(monkeypatch, tmp_path, platform, variable, expected):
    monkeypatch.delenv("ZIDO_CONFIG")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert settings.config_folder() == tmp_path / expected
