"""The doctor finds what is broken and says what to do."""

from __future__ import annotations

import hashlib
import json
import sys

import pytest

from zido_core import doctor
from zido_core.model_files import ModelFile

FILE = ModelFile(path="m.safetensors", card="m.json", embedded=True)


@pytest.fixture
def package(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "PACKAGE", tmp_path)
    (tmp_path / "m.safetensors").write_bytes(b"weights")
    (tmp_path / "m.json").write_text(json.dumps({"sha256": hashlib.sha256(b"weights").hexdigest()}))
    return tmp_path


def test_weights_with_the_hash_of_their_card_are_right(package):
    assert doctor._weights("m", FILE).ok


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.safetensors", "other", "its card says"),
        ("m.json", "{}", "KeyError"),
        ("m.json", "no JSON", "JSONDecodeError"),
        ("m.json", None, "FileNotFoundError"),
        ("m.safetensors", None, "FileNotFoundError"),
    ],
)
def test_weights_that_are_wrong_or_gone_are_told(package, name, content, told):
    (package / name).unlink()
    if content is not None:
        (package / name).write_text(content)
    check = doctor._weights("m", FILE)
    assert not check.ok
    assert told in check.found
    assert check.advice


def test_a_package_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    check = doctor._loaded("safetensors")
    assert not check.ok
    assert "does not load" in check.found
    assert "pip install" in check.advice
    assert not doctor._installed("surely-not-there").ok


def test_all_is_well_only_if_every_check_is():
    good = doctor.Check(name="a", ok=True, found="1.0")
    bad = doctor.Check(name="longer", ok=False, found="gone", advice="get it")
    assert doctor.exit_code([good]) == 0
    assert doctor.exit_code([good, bad]) == 69
    assert doctor.as_text([good, bad]) == "ok   a       1.0\nFAIL longer  gone -> get it"
    assert json.loads(doctor.as_json([good, bad]))["ok"] is False


def test_the_examination_covers_what_an_upscaling_needs():
    checks = {check.name: check for check in doctor.examine()}
    assert {"python", "torch", "rasterio", "GDAL", "device", "disk", "model mini"} <= set(checks)
    assert all(check.found for check in checks.values())
    assert checks["torch"].ok
