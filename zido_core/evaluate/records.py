"""An evaluation as files: JSON with everything, CSV with every score, Markdown with the tables and their making."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import __version__
from ..device import choose_device, describe_device, thread_count
from ..errors import OutputFailed, OutputNotWritable
from .evaluation import Evaluation, Result
from .tables import tables_of


def provenance(command: str, device: str = "auto") -> dict[str, Any]:
    """Where, when and by which command."""
    import torch

    chosen = choose_device(device)
    return {
        "zido": __version__,
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": {
            "processor": _processor(),
            "threads": thread_count(),
            "device": "CPU" if chosen == "cpu" else describe_device(chosen).title,
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }


def as_json(evaluation: Evaluation, made: dict[str, Any]) -> str:
    """Everything."""
    return json.dumps({**made, **evaluation.record()}, indent=1, ensure_ascii=False) + "\n"


def as_csv(evaluation: Evaluation) -> str:
    """One line per result; empty where nothing can be said."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(evaluation.metrics)
    writer.writerow(["image", "degradation", "method", "height", "width", *names])
    for score in evaluation.scores:
        values = [score.values[name] for name in names]
        numbers = ["" if math.isnan(value) else f"{value:.6g}" for value in values]
        writer.writerow([score.image, score.degradation, score.method, *score.size, *numbers])
    return text.getvalue()


def as_markdown(evaluation: Evaluation, made: dict[str, Any]) -> str:
    """The tables with what a reader needs to repeat them."""
    machine = made["machine"]
    facts = [
        f"- Protocol: {evaluation.protocol.title}; x{evaluation.protocol.scale}, seed {evaluation.protocol.seed}",
        f"- Command: `{made['command']}`",
        f"- Date: {made['date']}, zido {made['zido']}",
        f"- Machine: {machine['processor']}, threads: {machine['threads']}, on {machine['device']}, "
        f"torch {machine['torch']}, Python {machine['python']}",
        *(f"- Weights of {name}: sha256 `{digest}`" for name, digest in evaluation.weights.items()),
    ]
    if evaluation.skipped:
        facts.append(f"- {skipped_line(evaluation)}")
    if evaluation.failures:
        facts.append(f"- {len(evaluation.failures)} could not be measured: {', '.join(_failed(evaluation))}")
    tables = list(tables_of(evaluation))
    shown = {heading for table in tables for heading in table.headings}
    meanings = [
        f"- {metric.label}: {metric.meaning}"
        for metric in evaluation.metrics.values()
        if metric.meaning and metric.heading in shown
    ]
    parts = ["\n".join(facts), *(table.as_markdown() for table in tables), "\n".join(meanings)]
    return "\n\n".join(part for part in parts if part) + "\n"


def skipped_line(evaluation: Evaluation) -> str:
    """Which metrics are missing, and why, in one line."""
    reasons: dict[str, list[str]] = {}
    for label, why in evaluation.skipped.items():
        reasons.setdefault(why, []).append(label)
    return "Not measured: " + "; ".join(f"{', '.join(labels)}: {why}" for why, labels in reasons.items())


def write_file(path: Path, content: str) -> None:
    """The file complete, or as it was."""
    _replace(path, lambda part: part.write_text(content, encoding="utf-8"))


def save_result(folder: Path, result: Result) -> Path:
    """The result as an 8-bit PNG named after image, degradation and method, for people to look at."""
    score = result.score
    words = (Path(score.image).with_suffix("").as_posix(), score.degradation, score.method)
    name = "__".join("".join(c if c.isalnum() or c in "-_.=" else "-" for c in word) for word in words)
    pixels = np.rint(result.image * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    path = folder / f"{name}.png"
    _replace(path, lambda part: picture.save(part, "PNG"))
    return path


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Say before the work begins what would fail after it."""
    folder = path.absolute().parent
    if path.exists() and not overwrite:
        raise OutputNotWritable(f"{path} exists; give --overwrite to replace it, or choose another name")
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputNotWritable(f"cannot write {path}: {folder} is no folder or is protected; choose another name")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputFailed(f"writing {path} failed: {error.strerror or error}") from error


def _failed(evaluation: Evaluation) -> list[str]:
    return [f"{failure.image}{failure.method and f' by {failure.method}'}" for failure in evaluation.failures]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
