"""The files of a running job: whole or not there, and every damage is seen."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zido_core.errors import ConfigurationError, InputNotFound, OutputFailed, OutputNotWritable
from zido_core.raster import atomic
from zido_core.tiling.grid import Tile
from zido_core.work.array_file import CHUNK_COLS, CHUNK_ROWS, ArrayFile, DamagedFile, load_array, save_array
from zido_core.work.folder import Description, WorkFolder, taken_by, work_folder
from zido_core.work.records import Journal, load_record, save_record, told_if_full
from zido_core.work.store import FolderStore, Kept, MemoryStore, StateSlot
from zido_core.work.unfinished import jobs_in, remove_work

ROOT = Path(__file__).resolve().parents[1]


def some(height: int = 300, width: int = 7) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, height, width), np.float32)


def begun(tmp_path: Path, **options: object) -> WorkFolder:
    folder = WorkFolder(work_folder(tmp_path / "out.tif"))
    folder.make()
    told = Description(input="a.tif", output=str(tmp_path / "out.tif"), options=dict(options), blocks=2, fingerprint={})
    folder.describe(told)
    return folder


@pytest.mark.parametrize("window", [None, Tile(0, 0, 1, 1), Tile(120, 2, 20, 5), Tile(299, 6, 1, 1)])
def test_arrays_come_back_by_window(tmp_path: Path, window: Tile | None) -> None:
    array = some()
    save_array(tmp_path / "a", array, step=3)
    with ArrayFile(tmp_path / "a") as file:
        assert (file.shape, file.facts) == (array.shape, {"step": 3})
        assert (file.read(window) == (array if window is None else array[:, *window.slices])).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("window", [None, Tile(0, 500, 1, 30), Tile(127, 0, 2, 1100), Tile(130, 1030, 9, 70)])
def test_wide_arrays_come_back_by_window(tmp_path: Path, window: Tile | None) -> None:
    array = some(140, 2 * CHUNK_COLS + 76)
    save_array(tmp_path / "a", array)
    with ArrayFile(tmp_path / "a") as file:
        assert (file.read(window) == (array if window is None else array[:, *window.slices])).all()


@pytest.mark.parametrize("place", [0, 14, 20, 40, -1, -4000])
def test_every_flipped_byte_is_seen(tmp_path: Path, place: int) -> None:
    save_array(tmp_path / "a", some())
    content = bytearray((tmp_path / "a").read_bytes())
    content[place] ^= 1
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DamagedFile, match="damaged"), ArrayFile(tmp_path / "a") as file:
        file.check()
    assert load_array(tmp_path / "a") is None


@pytest.mark.parametrize("length", [0, 5, 30, 3000])
def test_every_short_file_is_seen(tmp_path: Path, length: int) -> None:
    save_array(tmp_path / "a", some())
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:length])
    with pytest.raises(DamagedFile), ArrayFile(tmp_path / "a") as file:
        file.check()


def test_a_window_needs_only_its_own_chunks(tmp_path: Path) -> None:
    array = some(3 * CHUNK_ROWS)
    save_array(tmp_path / "a", array)
    content = bytearray((tmp_path / "a").read_bytes())
    content[-1] ^= 1
    (tmp_path / "a").write_bytes(content)
    with ArrayFile(tmp_path / "a") as file:
        assert (file.read(Tile(0, 0, 2 * CHUNK_ROWS, 7)) == array[:, : 2 * CHUNK_ROWS]).all()
        with pytest.raises(DamagedFile, match=f"rows {2 * CHUNK_ROWS} to"):
            file.read(Tile(2 * CHUNK_ROWS, 0, 1, 1))


def test_records_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert load_record(path) is None
    record = {"number": 0.1 + 0.2, "list": [1, "ä"], "nothing": None}
    save_record(path, record)
    assert load_record(path) == record
    path.write_text(path.read_text().replace("nothing", "nothinG"))
    assert load_record(path) is None


def test_a_journal_survives_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert journal.entries() == []
    journal.add(event="block", block=1)
    with (tmp_path / "j").open("a") as file:
        file.write('{"event": "blo')
    journal.add(event="block", block=2)
    assert [entry["block"] for entry in journal.entries()] == [1, 2]


def test_a_store_keeps_blocks_and_forgets_damaged_ones(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    store, array = FolderStore(folder), some()
    StateSlot(folder.latents(1)).save(Kept(4, some(5), {}))
    assert not store.holds(1)
    store.put(1, array, 2.5)
    assert store.holds(1)
    assert StateSlot(folder.latents(1)).load() is None  # the state of a finished block is of no use
    assert (store.read(1, Tile(3, 2, 9, 4)) == array[:, 3:12, 2:6]).all()
    store.close()
    assert folder.journal.entries()[-1]["seconds"] == 2.5
    folder.block(1).write_bytes(folder.block(1).read_bytes()[:-3])
    assert not store.holds(1)
    assert not folder.block(1).exists()
    assert folder.journal.entries()[-1] == {"event": "damaged", "block": 1}


def test_any_number_of_blocks_can_be_read(tmp_path: Path) -> None:
    store = FolderStore(begun(tmp_path))
    for index in range(12):
        store.put(index, np.full((1, 2, 2), index, np.float32), 0)
    for index in (*range(12), 0):
        assert (store.read(index, Tile(0, 0, 2, 2)) == index).all()
    assert len(store._files) == 8
    store.close()


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path)

    def full(*given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zido_core.work.store.save_array", full)
    with pytest.raises(OutputFailed, match=atomic.DISK_FULL):
        FolderStore(folder).put(0, some(), 1)


def test_an_error_of_the_disk_says_where(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"broken, writing in {tmp_path}; check the disk") as caught:  # noqa: SIM117
        with told_if_full(tmp_path, 3):
            raise OSError(errno.EIO, "broken")
    assert caught.value.errno == errno.EIO


def test_states_come_back(tmp_path: Path) -> None:
    prepared: list[int] = []
    slot = StateSlot(tmp_path / "x" / "a", lambda: prepared.append(1))
    assert slot.load() is None
    slot.save(Kept(7, some(), {"order": 2}))
    found = slot.load()
    assert found is not None
    assert (found.step, found.numbers) == (7, {"order": 2})
    assert (found.images == some()).all()
    assert prepared == [1]
    assert MemoryStore().slot(0) is None


HOLD = """
import sys, time
from pathlib import Path
from zido_core.work.folder import WorkFolder
with WorkFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_refused_at_once_and_ends_with_its_owner(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(OutputNotWritable, match=f"process {owner.pid} is working in"), folder.lock():
            pass
        with pytest.raises(OutputNotWritable, match="is working in"):
            list(remove_work(str(tmp_path)))
        owner.kill()
    with folder.lock():
        pass


def test_work_is_found_by_folder_output_and_place(tmp_path: Path) -> None:
    folder = begun(tmp_path, steps=3, block_size=512)
    for place in (folder.path, tmp_path / "out.tif", tmp_path):
        (job,) = jobs_in(str(place))
        assert (job.input, job.output) == ("a.tif", str(tmp_path / "out.tif"))
        assert (job.options.steps, job.options.resume) == (3, True)
    with pytest.raises(InputNotFound, match="no unfinished work"):
        list(jobs_in(str(tmp_path / "other.tif")))


def test_a_job_of_another_version_is_not_continued(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    record = load_record(folder.path / "job.json")
    assert record is not None
    save_record(folder.path / "job.json", record | {"version": 99})
    with pytest.raises(ConfigurationError, match="start anew"):
        folder.description()


def test_cleaning_removes_work_and_nothing_else(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    FolderStore(folder).put(0, some(), 1)
    (tmp_path / "mine.zido").mkdir()
    (tmp_path / "mine.zido" / "notes.txt").write_text("mine")
    (line,) = remove_work(str(tmp_path), only_list=True)
    assert folder.path.name in line
    assert taken_by(folder.path) > some().nbytes
    (line,) = remove_work(str(tmp_path))
    assert "removed" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.zido"]
    assert list(remove_work(str(tmp_path))) == []


def test_what_somebody_else_put_there_stays(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    (folder.path / "notes.txt").write_text("mine")
    with folder.lock():
        folder.remove()
    assert [path.name for path in folder.path.iterdir()] == ["notes.txt"]
    assert not folder.exists
