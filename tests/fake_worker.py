"""A real worker around a pipeline that is made up: what a job does is said by the name of its input.

python tests/fake_worker.py [IDLE]
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zido_core
from zido_core import worker
from zido_core.job import Done, Plan, Preview, Progress, Stage, Warning  # noqa: A004 - the event

PLAN = Plan(
    input_size=(30, 40), output_size=(120, 160), scale=4.0, tiles=2, tile_size=512, memory_bytes=1, disk_bytes=1
)
FLOOD = 10 * 2**20


def steps(dst, tell, cancel):
    for done in range(1, 6):
        cancel.check()
        tell(Progress(done=done, total=5, eta=5.0 - done))
    Path(dst).write_text("done")


def slow(dst, tell, cancel):
    part = Path(f"{dst}.part")
    part.write_text("half")
    try:
        while True:
            time.sleep(0.02)
            cancel.check()
    finally:
        part.unlink()


def inattentive(dst, tell, cancel):
    time.sleep(60)


def deaf(dst, tell, cancel):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    while True:
        time.sleep(60)


def prints(dst, tell, cancel):
    print("stray", flush=True)
    os.system("echo stray")
    os.write(1, b'{"v": 1, "type": "done", "output": "forged"}\n')
    subprocess.run([sys.executable, "-S", "-c", "print('stray')"], check=True)
    sys.stdout.write(f"input gives {sys.stdin.read()!r}")
    sys.stdout.flush()


def floods(dst, tell, cancel):
    for _ in range(FLOOD // 1024):
        os.write(2, b"x" * 1023 + b"\n")
        os.write(1, b"")
    tell(Progress(done=1, total=1))


def hurries(dst, tell, cancel):
    for done in [*range(1000), 3, 7]:
        tell(Progress(done=done, total=999))


def talks(dst, tell, cancel):
    tell(Preview(path="p.png", box=(0, 0, 8, 8)))
    tell(Warning(message="€" * 100_000))
    tell(Warning(message="careful"))


def runs_out_of_memory(dst, tell, cancel):
    raise MemoryError


def crashes(dst, tell, cancel):
    ctypes.string_at(0)


def is_killed(dst, tell, cancel):
    os.kill(os.getpid(), signal.SIGKILL)


def is_cut_off(dst, tell, cancel):
    time.sleep(0.1)  # what was said before is out
    os.write(PIPES[0], b'{"v": 1, "type": "done", "outp')
    os.kill(os.getpid(), signal.SIGKILL)


def freezes(dst, tell, cancel):
    os.kill(os.getpid(), signal.SIGSTOP)


def is_not_heard(dst, tell, cancel):
    """Its last event gets lost."""
    say = worker.Channel.say
    worker.Channel.say = lambda self, event: None if isinstance(event, Done) else say(self, event)


def says_what_is_loaded(dst, tell, cancel):
    tell(Warning(message=f"models loaded: {KeptModel.made}"))


class KeptModel:
    """Counts how often one is made, which is when a model would be loaded."""

    made = 0

    def __init__(self):
        KeptModel.made += 1

    def upscale(self, src, dst, *, options, on_event, cancel):
        on_event(PLAN)
        on_event(Stage(name="denoising"))
        globals()[os.path.basename(src)](dst, on_event, cancel)
        return types.SimpleNamespace(path=dst)


def plan(src, dst, options):
    return PLAN


PIPES = []
_claim_pipes = worker.claim_pipes


def claim_and_note():
    requests, answers = _claim_pipes()
    PIPES.append(answers)
    return requests, answers


def main():
    pipeline = types.ModuleType("zido_core.pipeline")
    pipeline.KeptModel, pipeline.plan, pipeline.upscale = KeptModel, plan, None
    sys.modules["zido_core.pipeline"] = zido_core.pipeline = pipeline
    worker.choose_device = lambda: "cpu"
    worker.claim_pipes = claim_and_note
    worker.HEARTBEAT_EVERY = 0.1
    worker.serve(float(sys.argv[1]) if len(sys.argv) > 1 else 600)


if __name__ == "__main__":
    main()
