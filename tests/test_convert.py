"""Pickles become safetensors with the same tensors, and nothing in them is executed."""

from __future__ import annotations

import collections
import json
import os
import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from zido_core import convert as convert_module
from zido_core import unpickle
from zido_core.convert import convert
from zido_core.errors import Cancelled, InputRefused, ModelMissing, OutputFailed
from zido_core.model_files import is_pickle

generator = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(3, 4, generator=generator)
TENSORS = {
    "a.weight": WEIGHT,
    "a.bias": torch.randn(3, generator=generator),
    "half": torch.randn(5, generator=generator).half(),
    "brain": torch.randn(5, generator=generator).bfloat16(),
    "double": torch.randn(2, generator=generator).double(),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
    "nan": torch.tensor([float("nan"), -0.0]),
}


def save(path: Path, content: object, **how: object) -> Path:
    torch.save(content, path, **how)
    return path


def assert_same(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    found = load_file(path)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        bits = (each.contiguous().reshape(-1).view(torch.uint8) for each in (found[name], tensor))
        assert torch.equal(*bits), name


def answer_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    """What the program says, run in this process: starting torch takes seconds."""
    code = unpickle.main(*map(str, arguments))
    answer = json.loads(capsys.readouterr().out)
    assert (code == 0) == ("tensors" in answer)
    return answer


@pytest.fixture
def target(tmp_path):
    return tmp_path / "weights.safetensors"


def test_a_pickle_is_converted_in_a_process_of_its_own(tmp_path, target):
    source = save(tmp_path / "weights.pth", {"model": TENSORS, "epoch": 3})
    assert convert(source, target) == len(TENSORS)
    assert_same(target, TENSORS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights.pth", "weights.safetensors"]


def test_what_is_not_needed_is_left_out(tmp_path, target, capsys):
    source = save(tmp_path / "weights.ckpt", {"state_dict": TENSORS})
    assert answer_of(capsys, source, target, "a.", "half") == {"tensors": len(TENSORS) - 3}
    assert set(load_file(target)) == set(TENSORS) - {"a.weight", "a.bias", "half"}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-1.6"])
@pytest.mark.parametrize(
    "wrapped",
    [
        TENSORS,
        {"params_ema": TENSORS, "step": 1},
        {"state_dict": collections.OrderedDict(TENSORS), "hyper_parameters": {"lr": 1.0}},
        {"model": {"state_dict": TENSORS}},
    ],
    ids=["bare", "params_ema", "state_dict", "nested"],
)
def test_the_weights_are_found_where_checkpoints_keep_them(tmp_path, target, wrapped, zipped):
    source = save(tmp_path / "weights.pth", wrapped, _use_new_zipfile_serialization=zipped)
    unpickle.save(unpickle.load(source), target)
    assert_same(target, TENSORS)


def test_tensors_that_share_memory_are_each_written_in_full(tmp_path, target):
    tensors = {
        "tied": WEIGHT,
        "too": WEIGHT,
        "row": WEIGHT[1],
        "turned": WEIGHT.T,
        "parameter": torch.nn.Parameter(WEIGHT),
    }
    source = save(tmp_path / "weights.pth", tensors)
    unpickle.save(unpickle.load(source), target)
    assert_same(target, {name: tensor.detach() for name, tensor in tensors.items()})


def test_the_file_says_that_it_is_pytorchs(tmp_path, target):
    unpickle.save(TENSORS, target)
    unpickle.check(TENSORS, target)
    with safe_open(target, "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize(("name", "value"), [("a.bias", torch.zeros(3)), ("count", torch.tensor(8)), ("more", WEIGHT)])
def test_what_does_not_read_back_is_noticed(target, name, value):
    unpickle.save(TENSORS, target)
    with pytest.raises(ValueError, match="does not read back"):
        unpickle.check(TENSORS | {name: value}, target)


class Bomb:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, target):
    trace = tmp_path / "trace"
    source = save(tmp_path / "weights.pth", {"model": TENSORS, "extra": Bomb(f"touch {trace}")})
    with pytest.raises(InputRefused, match=r"weights.pth is not converted: opening it could run code .*system"):
        convert(source, target)
    assert not trace.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]
    torch.load(source, weights_only=False)  # it is a bomb indeed
    assert trace.exists()


@pytest.mark.parametrize("kind", ["zip", "before-1.6", "plain"])
def test_no_kind_of_pickle_runs_code(tmp_path, target, capsys, kind):
    trace, source = tmp_path / "trace", tmp_path / "weights.pth"
    bomb = Bomb(f"touch {trace}")
    if kind == "plain":
        source.write_bytes(pickle.dumps(bomb, protocol=2))
    else:
        save(source, {"model": TENSORS, "extra": bomb}, _use_new_zipfile_serialization=kind == "zip")
    answer = answer_of(capsys, source, target)
    assert answer["refused"]
    assert "system" in str(answer["error"])
    assert not trace.exists()
    assert not target.exists()


def test_objects_of_trainers_beside_the_weights_stand_for_nothing(tmp_path, target, monkeypatch):
    module = types.ModuleType("pytorch_lightning.callbacks")

    class Callback:
        def __init__(self) -> None:
            self.best = 3

        def __setstate__(self, state: object) -> None:
            raise AssertionError("the real class was used")

    Callback.__module__, Callback.__qualname__ = module.__name__, "Callback"
    module.Callback = Callback
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
        patch.setitem(sys.modules, module.__name__, module)
        source = save(tmp_path / "weights.ckpt", {"state_dict": TENSORS, "callbacks": {"c": Callback()}})
    assert "pytorch_lightning" not in sys.modules
    unpickle.save(unpickle.load(source), target)
    assert_same(target, TENSORS)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"<html>", b"\x80\x02}"], ids=repr)
def test_what_is_no_checkpoint_is_told(tmp_path, target, capsys, content):
    (tmp_path / "weights.pth").write_bytes(content)
    assert answer_of(capsys, tmp_path / "weights.pth", target)["error"]


def test_a_checkpoint_without_tensors_is_told(tmp_path, target, capsys):
    source = save(tmp_path / "weights.pth", {"model": {"epoch": 3}})
    assert answer_of(capsys, source, target)["error"] == "it holds no tensors"


def test_half_a_file_is_told(tmp_path, target, capsys):
    whole = save(tmp_path / "weights.pth", TENSORS).read_bytes()
    (tmp_path / "weights.pth").write_bytes(whole[: len(whole) // 2])
    assert answer_of(capsys, tmp_path / "weights.pth", target)["error"]


@pytest.mark.parametrize(
    ("program", "kind", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", ModelMissing, "ended with status -15, perhaps for"),
        ("raise ImportError('no torch here')", ModelMissing, r"\(ImportError: no torch here\)"),
        ("""print('{"error": "PytorchStreamReader failed", "refused": false}')""", ModelMissing, "is it whole"),
        ("""print('{"error": "No space", "refused": false, "errno": 28}')""", OutputFailed, "disk full while"),
        ("""print('{"error": "posix.system", "refused": true}')""", InputRefused, "could run code"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(tmp_path, target, monkeypatch, program, kind, told):
    (tmp_path / "program.py").write_text(f"import sys; open(sys.argv[2], 'w').close()\n{program}")
    monkeypatch.setattr(convert_module, "PROGRAM", tmp_path / "program.py")
    with pytest.raises(kind, match=told):
        convert(tmp_path / "weights.pth", target)
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_it_can_be_stopped(tmp_path, target, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(convert_module, "PROGRAM", program)

    def check() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        convert(tmp_path / "weights.pth", target, check=check)


@pytest.mark.parametrize(
    ("name", "converted"), [("a.pth", True), ("A.CKPT", True), ("a.bin", True), ("a.safetensors", False)]
)
def test_pickles_are_known_by_their_suffix(name, converted):
    assert is_pickle(name) is converted
