"""A real worker around a pipeline that is made up: what a job does is said by the name of its input.

python tests/fake_worker.py [IDLE]
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zido_core
from zido_core import errors, worker
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
    try:
        part.write_text("half")
        while True:
            time.sleep(0.02)
            cancel.check()
    finally:
        try:
            part.unlink(missing_ok=True)
        finally:  # an interrupt may have come just then
            part.unlink(missing_ok=True)


def keeps(dst, tell, cancel):
    """Something is done when it is stopped; see `KeptModel.upscale` for how it goes on."""
    folder = Path(f"{dst}.zido")
    folder.mkdir()
    (folder / "job.json").write_text("{}")
    cancel.work = str(folder)
    while True:
        time.sleep(0.02)
        cancel.check()


def keeps_and_fails(dst, tell, cancel):
    cancel.cancel()
    try:
        keeps(dst, tell, cancel)
    except errors.Cancelled:
        raise errors.OutputFailed("the disk is full; free some space or choose another folder with -o") from None


def keeps_and_is_killed(dst, tell, cancel):
    cancel.cancel()
    try:
        keeps(dst, tell, cancel)
    except errors.Cancelled:
        time.sleep(0.1)  # what was said before is out
        os.kill(os.getpid(), signal.SIGKILL)


def keeps_and_is_deaf(dst, tell, cancel):
    cancel.cancel()
    try:
        keeps(dst, tell, cancel)
    except errors.Cancelled:
        deaf(dst, tell, cancel)


def inattentive(dst, tell, cancel):
    time.sleep(60)


def needs_to_be_asked_again(dst, tell, cancel):
    worker.INSIST_AFTER = 100.0
    tell(Progress(done=1, total=2))
    inattentive(dst, tell, cancel)


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


def lacks_files(dst, tell, cancel):
    raise errors.ModelMissing("the files of seesr are not here; run `zido models get seesr`")


def fails(dst, tell, cancel):
    raise errors.BadInput("this picture cannot be upscaled; choose another")


def says_what_is_loaded(dst, tell, cancel):
    tell(Warning(message=f"models loaded: {KeptModel.made}"))


class KeptModel:
    """Counts how often one is made, which is when a model would be loaded."""

    made = 0

    def __init__(self):
        KeptModel.made += 1

    def upscale(self, src, dst, *, options, on_event, cancel, previews=None):
        on_event(dataclasses.replace(PLAN, output=dst))
        on_event(Stage(name="denoising"))
        if previews is not None:
            picture = Path(previews) / "preview-0.png"
            picture.write_bytes(b"P6 4 4 255\n" + bytes([0, 250, 0]) * 16)
            on_event(Preview(path=str(picture), box=(0, 0, 60, 80)))
        globals()["steps" if options.resume else os.path.basename(src)](dst, on_event, cancel)
        return types.SimpleNamespace(path=dst)

    def backbone_for(self, setup):
        return None


def plan(src, dst, options):
    return PLAN


def tag(src, options):
    tiles = [{"tile": tile, "row": 0, "col": 8 * tile, "height": 8, "width": 8, "prompt": "road"} for tile in range(3)]
    features = [{"type": "Feature", "properties": tile | {"tags": []}, "geometry": None} for tile in tiles]
    Path(options.save_prompts).write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def glimpse(asked, load, on_event, cancel):
    """A picture that is as red as the fidelity is great."""
    height, width = (4 * side for side in asked.box[2:])
    pixel = bytes([round(255 * (asked.options.fidelity or 0)), 0, 0])
    Path(asked.output).write_bytes(b"P6 %d %d 255\n" % (width, height) + pixel * (width * height))
    on_event(Progress(done=1, total=1))
    return Preview(path=asked.output, box=tuple(4 * side for side in asked.box))


def fade(asked, on_event, cancel):
    Path(asked.output).write_text(f"{asked.result} {asked.certain} {asked.fidelity}")


PIPES = []
_claim_pipes = worker.claim_pipes


def claim_and_note():
    requests, answers = _claim_pipes()
    PIPES.append(answers)
    return requests, answers


def main():
    pipeline = types.ModuleType("zido_core.pipeline")
    pipeline.KeptModel, pipeline.plan, pipeline.tag, pipeline.upscale = KeptModel, plan, tag, None
    sys.modules["zido_core.pipeline"] = zido_core.pipeline = pipeline
    for function in (glimpse, fade):
        module = types.ModuleType(f"zido_core.{function.__name__}")
        setattr(module, function.__name__, function)
        sys.modules[module.__name__] = module
        setattr(zido_core, function.__name__, module)
    worker.choose_device = lambda: "cpu"
    worker.claim_pipes = claim_and_note
    worker.HEARTBEAT_EVERY = 0.1
    worker.serve(float(sys.argv[1]) if len(sys.argv) > 1 else 600)


if __name__ == "__main__":
    main()
