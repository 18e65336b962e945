"""Damaged and hostile files: no crash, no hang, no traceback; one line and a documented code; nothing leaks.

``ZIDO_MUTANTS`` says how many (``make test-faults`` takes 10,000).
"""

from __future__ import annotations

import http.server
import os
import threading
from collections import Counter

import pytest

from tests.faults.forked import Outcome, run_all
from tests.faults.mutants import mutant, oddities
from tests.faults.seeds import write_seeds
from zido_core.errors import BadInput, InputNotFound, OutOfMemory, OutputNotWritable

COUNT = int(os.environ.get("ZIDO_MUTANTS", "300"))
CODES = {0, *(error.exit_code for error in (BadInput, InputNotFound, OutOfMemory, OutputNotWritable))}
"""The last one: a head that promises billions of pixels, for which there is no room on the disk."""
LIBTIFF = "_tiffSeekProc: "
"""GDAL's seek behind a file's end goes past GDAL's own error handler; libtiff prints it itself."""

SECRET = "do not tell anybody 7391"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    for name in ("seeds", "files", "outputs"):
        (folder / name).mkdir()
    return folder


def wrong(outcome: Outcome) -> str:
    """What is not as documented, empty if all is well."""
    lines = [line for line in outcome.told.splitlines() if not line.startswith(("zido: warning: ", LIBTIFF))]
    if outcome.code not in CODES:
        return f"code {outcome.code}: {outcome.told[-300:]}"
    if "Traceback" in outcome.told or "internal error" in outcome.told:
        return outcome.told[-300:]
    if outcome.code == 0:
        return "" if not lines and outcome.left == ("out.tif",) else f"{lines} {outcome.left}"
    if len(lines) != 1 or not lines[0].startswith("zido: ") or len(lines[0]) > 400:
        return f"told: {outcome.told[:600]}"
    return f"left {outcome.left}" if outcome.left else ""


def failures(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.name: wrong(outcome) for outcome in outcomes if wrong(outcome)}


def test_parents_are_all_read(folder):
    outcomes = run_all(write_seeds(folder / "seeds"), folder / "outputs")
    # Ink has no place in the output; the message says how to convert.
    assert {outcome.name: outcome.code for outcome in outcomes if outcome.code} == {"cmyk.jpg": 65}


def test_mutants(folder):
    parents = [path.read_bytes() for path in write_seeds(folder / "seeds")]
    names = [path.suffix for path in write_seeds(folder / "seeds")]
    found: dict[str, str] = {}
    codes = Counter[int | None]()
    for start in range(0, COUNT, 500):
        files = []
        for seed in range(start, min(start + 500, COUNT)):
            path = folder / "files" / f"{seed}{names[seed % len(names)]}"
            path.write_bytes(mutant(parents, seed))
            files.append(path)
        outcomes = run_all(files, folder / "outputs")
        codes.update(outcome.code for outcome in outcomes)
        found |= failures(outcomes)
        for path in files:
            path.unlink()
        print(f"{codes.total()} of {COUNT} damaged files, exit codes {dict(codes)}, wrong: {sorted(found)}", flush=True)
    assert found == {}


def test_hand_made_files_leak_nothing(folder):
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    secret = folder / "secret"
    secret.write_text(SECRET)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        files = []
        for name, content in oddities(f"http://127.0.0.1:{server.server_port}", secret):
            files.append(folder / "files" / name)
            files[-1].write_bytes(content)
        outcomes = run_all(files, folder / "outputs")
        server.shutdown()
    assert failures(outcomes) == {}
    assert {outcome.name for outcome in outcomes if outcome.code == 0} == set()
    assert not any(SECRET in outcome.told for outcome in outcomes)
    assert asked == []
    assert secret.read_text() == SECRET
