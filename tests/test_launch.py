"""How a worker is started: what it inherits of its host's environment, and where its log is."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from zido.plugin import launch

ALIVE = str(Path(__file__))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("PATH", "/usr/bin", True),
        ("HOME", "/somewhere", True),
        ("SYSTEMROOT", r"C:\Windows", True),
        ("OMP_NUM_THREADS", "1", True),
        ("ZIDO_CACHE", "/cache", True),
        ("https_proxy", "http://proxy:3128", True),
        ("SSL_CERT_FILE", ALIVE, True),
        ("SSL_CERT_FILE", "/of/another/installation", False),
        ("PYTHONPATH", "/qgis/python", False),
        ("PYTHONHOME", "/qgis", False),
        ("pythonstartup", "/qgis/x.py", False),
        ("VIRTUAL_ENV", "/venv", False),
        ("PIP_INDEX_URL", "https://example.org", False),
        ("QGIS_PREFIX_PATH", "/qgis", False),
        ("PROJ_LIB", "/qgis/proj", False),
        ("PROJ_DATA", "/qgis/proj", False),
        ("GDAL_DRIVER_PATH", "/qgis/gdal", False),
        ("LD_LIBRARY_PATH", "/app/lib", False),
        ("LD_PRELOAD", "x.so", False),
        ("DYLD_INSERT_LIBRARIES", "x", False),
        ("QT_PLUGIN_PATH", "/qgis/qt", False),
    ],
)
def test_a_worker_inherits_what_is_not_its_hosts_own(name, value, kept):
    cleaned = launch.clean_environment({name: value})
    assert (cleaned.get(name) == value) is kept


def test_a_worker_speaks_utf8_and_imports_nothing_out_of_the_current_folder():
    assert launch.clean_environment({"PYTHONIOENCODING": "latin-1"}) == launch.OURS


def test_a_log_is_new_and_the_oldest_go(tmp_path):
    made = [launch.new_log(tmp_path / "logs") for _ in range(launch.LOGS_KEPT + 3)]
    for age, path in enumerate(reversed(made)):
        if path.exists():
            os.utime(path, (1e9 - age, 1e9 - age))
    last = launch.new_log(tmp_path / "logs")
    left = set((tmp_path / "logs").iterdir())
    assert len(set(made)) == len(made)
    assert last in left
    assert len(left) == launch.LOGS_KEPT
    assert {made[-1], made[-2]} <= left


def test_where_no_log_can_be_made_there_is_none(tmp_path):
    (tmp_path / "file").touch()
    assert launch.new_log(tmp_path / "file" / "logs") is None


def test_the_log_lies_in_zidos_folder_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("ZIDO_CACHE", str(tmp_path))
    assert launch.new_log().parent == tmp_path / "logs"


def test_the_command_of_a_worker():
    assert launch.worker_command(Path("/opt/python"), idle=30)[1:] == ["-m", "zido_core", "worker", "--idle", "30"]


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_a_process_outlives_the_thread_that_starts_it_and_has_its_own_group(tmp_path):
    code = "import os, sys; print(os.getpgid(0) == os.getpid(), os.environ['X'], flush=True); sys.stdin.read()"
    started = []
    thread = threading.Thread(
        target=lambda: started.append(launch.spawn([sys.executable, "-S", "-c", code], tmp_path / "log", {"X": "1"}))
    )
    thread.start()
    thread.join()
    process = started[0]
    assert process.stdout.readline() == b"True 1\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()
