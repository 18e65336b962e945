"""Choosing device and precision, and reading memory and cores, with machines that are not here made up."""

from __future__ import annotations

import os

import pytest
import torch

from zido_core import device
from zido_core.catalog import MINI
from zido_core.errors import DeviceUnavailable, InvalidOptions


@pytest.fixture
def machine(monkeypatch):
    def make(*, cuda: int = 0, mps: bool = False, capability: tuple[int, int] = (9, 0)) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.mark.parametrize(
    ("requested", "cuda", "mps", "chosen"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 2, False, "cuda:0"),
        ("auto", 0, True, "mps"),
        ("cpu", 2, True, "cpu"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
        ("mps", 0, True, "mps"),
    ],
)
def test_the_device_is_the_best_or_the_one_asked_for(machine, requested, cuda, mps, chosen):
    machine(cuda=cuda, mps=mps)
    assert device.choose_device(requested) == chosen


@pytest.mark.parametrize(
    ("requested", "cuda", "found"),
    [("cuda", 0, "cpu"), ("cuda:3", 2, "cpu, cuda:0, cuda:1"), ("mps", 0, "cpu")],
)
def test_a_device_that_is_not_here_is_told_with_those_that_are(machine, requested, cuda, found):
    machine(cuda=cuda)
    with pytest.raises(DeviceUnavailable, match=f"no device {requested} here; found {found}"):
        device.choose_device(requested)


@pytest.mark.parametrize(
    ("requested", "name", "capability", "chosen"),
    [
        ("auto", "cpu", (0, 0), "fp32"),
        ("auto", "cuda:0", (9, 0), "bf16"),
        ("auto", "cuda:0", (7, 5), "fp32"),
        ("auto", "mps", (0, 0), "fp32"),
        ("bf16", "cpu", (0, 0), "bf16"),
        ("fp16", "cuda:0", (7, 5), "fp16"),
    ],
)
def test_the_precision_suits_model_and_device(machine, requested, name, capability, chosen):
    machine(cuda=1, capability=capability)
    assert device.choose_precision(requested, name, {"cpu": "fp32", "cuda": "bf16"}) == chosen


@pytest.mark.parametrize(("able", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_processor_computes_in_bf16_if_it_can(monkeypatch, able, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    assert device.choose_precision("auto", "cpu", MINI.precisions) == chosen


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(InvalidOptions, match="fp16 needs a GPU"):
        device.choose_precision("fp16", "cpu", MINI.precisions)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precisions_have_their_torch_type(precision, dtype):
    assert device.torch_dtype(precision) is dtype


@pytest.mark.parametrize(
    ("omp", "cores", "quota", "threads"),
    [
        ("", 8, None, 8),
        ("3", 8, None, 3),
        ("4,2", 8, None, 4),
        ("nonsense", 8, None, 8),
        ("", 64, "200000 100000", 2),
        ("", 64, "max 100000", 64),
        ("", 64, "50000 100000", 1),
    ],
)
def test_threads_are_those_that_can_run(monkeypatch, tmp_path, omp, cores, quota, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", omp)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert device.thread_count() == threads


def test_a_container_limits_the_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert (device.total_ram(), device.free_ram()) == (1000, 600)
    (tmp_path / "memory.max").write_text("max\n")
    assert device.total_ram() > 2**20


def test_a_device_is_described_for_people(monkeypatch):
    described = device.describe_device("cpu")
    assert 0 < described.free_bytes <= described.total_bytes
    assert str(described).startswith("cpu: ")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (2**30, 4 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "Test GPU")
    assert str(device.describe_device("cuda:0")) == "cuda:0: Test GPU, 1.0 of 4.0 GiB free"
