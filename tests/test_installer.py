"""How pip is called, what its lines mean, and why it failed, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from zido.plugin import installer
from zido.plugin.torch_build import Build
from zido.zido_core import errors

CPU = Build(name="cpu", room=1, title="the CPU build")
INDEX = "https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(
    ("mine", "build", "expected"),
    [
        ({}, None, {}),
        ({}, CPU, {"PIP_EXTRA_INDEX_URL": INDEX}),
        ({}, Build(name="", room=1, title=""), {}),
        ({"PIP_INDEX_URL": "https://a"}, CPU, {"PIP_INDEX_URL": "https://a", "PIP_EXTRA_INDEX_URL": INDEX}),
        ({"PIP_EXTRA_INDEX_URL": "https://b"}, CPU, {"PIP_EXTRA_INDEX_URL": f"https://b {INDEX}"}),
        ({"PIP_NO_INDEX": "1"}, CPU, {"PIP_NO_INDEX": "1"}),
        ({"PIP_TARGET": "/host", "PIP_USER": "1", "PIP_PREFIX": "/x"}, None, {}),
    ],
)
def test_the_users_ways_to_packages_are_kept_and_those_to_places_are_not(monkeypatch, mine, build, expected):
    for name in installer.OF_THE_USER:
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    told = installer.settings(build, None, Path("/env/tmp"))
    assert {name: value for name, value in told.items() if name.startswith("PIP_")} == expected
    assert told["TMPDIR"] == told["TEMP"] == str(Path("/env/tmp"))


def test_a_folder_of_wheels_takes_the_place_of_the_network(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", "https://a")
    folder = tmp_path / "with a space"
    told = installer.settings(CPU, folder, tmp_path)
    assert {name: value for name, value in told.items() if name.startswith("PIP_")} == {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": folder.as_uri(),
    }


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "OutputFailed", "disk is full"),
        (
            "WARNING: NewConnectionError(...)\nERROR: No matching distribution found for torch",
            "DownloadFailed",
            "network does not answer",
        ),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "DownloadFailed", "certificate"),
        ("ProxyError('Cannot connect to proxy.', NewConnectionError())", "DownloadFailed", "proxy refuses"),
        (
            "ERROR: No matching distribution found for rasterio>=1.4",
            "DownloadFailed",
            "no rasterio>=1.4 for this Python",
        ),
        ("ERROR: [WinError 5] Access is denied: 'c10.dll'", "OutputNotWritable", "virus scanner"),
        ("OSError: [Errno 36] File name too long: '/x'", "OutputFailed", "ZIDO_HOME"),
        ("Collecting x\nERROR: Something else\nnote: y", "ZidoError", "last words were: ERROR: Something else"),
        ("", "ZidoError", "said nothing"),
    ],
)
def test_why_pip_failed(text, kind, words):
    error = installer.why(text, 1, Path("the.log"))
    assert type(error).__name__ == kind
    assert words in str(error)
    assert "the.log" in str(error)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Collecting torch", "looking for torch"),
        ("Collecting numpy>=1.26 (from zido==0.1.0)", "looking for numpy"),
        (
            "  Downloading torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl (191.0 MB)",
            "downloading torch 2.13.0+cpu (191.0 MB)",
        ),
        ("Downloading https://x.org/y/numpy-2.4.6-cp311-none-any.whl (16 MB)", "downloading numpy 2.4.6 (16 MB)"),
        ("  Using cached tqdm-4.70.1-py3-none-any.whl", "downloading tqdm 4.70.1"),
        ("Installing collected packages: torch", "unpacking packages"),
        ("Requirement already satisfied: torch", None),
    ],
)
def test_what_pip_is_doing_in_words(line, words):
    assert installer.in_words(line) == words


@pytest.mark.parametrize(
    ("line", "bytes_done"), [("Progress 10 of 200", (10, 200)), ("Progress 10", None), ("Collecting x", None)]
)
def test_how_far_a_download_is(line, bytes_done):
    assert installer.loaded(line) == bytes_done


def test_only_what_this_run_has_written_is_its_reason(tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text("No space left on device\n")

    def run(command, *, log, **given):
        with log.open("a") as file:
            file.write("ERROR: No matching distribution found for torch\n")
        return 1

    monkeypatch.setattr(installer, "run", run)
    with pytest.raises(errors.DownloadFailed, match="no torch for this Python"):
        installer.install(
            Path("python"), ["torch"], environment={}, log=log, on_line=lambda line: False, cancelled=lambda: False
        )
