"""Files that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from zido_core.errors import OutputNotWritable
from zido_core.raster.atomic import PartFile, amount, is_disk_full


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.tif"


def files(target):
    return sorted(os.listdir(target.parent))


def test_commit_renames_the_part_and_its_sidecars_and_removes_stages(target):
    part = PartFile(target, overwrite=False)
    part.begin()
    part.path.write_text("new")
    part.stage("-tiled").write_text("stage")
    part.path.with_name(part.path.name + ".msk").write_text("mask")
    assert part.written == len("newstagemask")
    part.commit()
    part.discard()
    assert files(target) == ["out.tif", "out.tif.msk"]
    assert (target.read_text(), target.with_name("out.tif.msk").read_text()) == ("new", "mask")


def test_sidecars_of_the_replaced_file_go(target):
    target.write_text("old")
    for suffix in (".aux.xml", ".msk", ".ovr"):
        target.with_name(target.name + suffix).write_text("old")
    part = PartFile(target, overwrite=True)
    part.path.write_text("new")
    part.path.with_name(part.path.name + ".msk").write_text("new")
    part.commit()
    assert files(target) == ["out.tif", "out.tif.msk"]
    assert target.with_name("out.tif.msk").read_text() == "new"


def test_a_file_that_appeared_meanwhile_is_not_replaced(target):
    part = PartFile(target, overwrite=False)
    part.path.write_text("new")
    target.write_text("somebody else's")
    with pytest.raises(OutputNotWritable, match="--overwrite"):
        part.commit()
    part.discard()
    assert (files(target), target.read_text()) == (["out.tif"], "somebody else's")


def test_a_link_stays_a_link(target):
    real = target.with_name("real.tif")
    real.write_text("old")
    target.symlink_to(real)
    part = PartFile(target, overwrite=True)
    part.path.write_text("new")
    part.commit()
    assert target.is_symlink()
    assert real.read_text() == "new"


def test_leftovers_of_dead_runs_are_removed_and_those_of_living_ones_kept(target):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for process in (dead.pid, os.getppid(), os.getpid()):
        target.with_name(f".out.tif.part-{process}.tif").write_text("left")
    target.with_name(f".other.tif.part-{dead.pid}.tif").write_text("another output's")
    PartFile(target, overwrite=False).begin()
    assert files(target) == sorted([f".out.tif.part-{os.getppid()}.tif", f".other.tif.part-{dead.pid}.tif"])


def test_names_may_hold_any_characters(tmp_path):
    part = PartFile(tmp_path / "a[1] (ü)*.tif", overwrite=False)
    part.path.write_text("new")
    part.commit()
    assert os.listdir(tmp_path) == ["a[1] (ü)*.tif"]


def test_a_failed_rename_can_be_cleaned_up(target, monkeypatch):
    part = PartFile(target, overwrite=False)
    part.path.write_text("new")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        part.commit()
    part.discard()
    assert files(target) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (RuntimeError("write: No space left on device"), True),
        (OSError(errno.EIO, "x"), False),
    ],
)
def test_full_disks_are_told_from_other_failures(tmp_path, error, expected):
    outer = ValueError("see previous exception")
    outer.__cause__ = error
    assert is_disk_full(outer, tmp_path) == expected


@pytest.mark.parametrize(("count", "text"), [(0, "1 MB"), (5e6, "5 MB"), (3.24e9, "3.2 GB"), (123.456e9, "123.5 GB")])
def test_amounts_are_for_people(count, text):
    assert amount(int(count)) == text
