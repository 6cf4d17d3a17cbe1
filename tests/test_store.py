"""The store: what is in it is complete, whatever was killed, damaged, full or tried twice at once."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgecomp import store as store_module
from edgecomp.errors import DataError, StoreError
from edgecomp.store import SEAL, Store, write_atomically

KEY = "ab" * 32
BUILDER = f"""
import pathlib, sys, time
from edgecomp.store import Store
folder, started, go, count = map(pathlib.Path, sys.argv[1:])
def build(work):
    (work / "weights").write_text("half")
    started.touch()
    while not go.exists():
        time.sleep(0.01)
    (work / "weights").write_text("whole")
    with count.open("a") as stream:
        stream.write("built\\n")
print(Store(folder).make("distil", {KEY!r}, build))
"""


def _write(text: str):
    return lambda work: (work / "weights").write_text(text)


def _never(work: Path) -> None:
    raise AssertionError("this result was finished: it must not be built again")


class Builder:
    """A process that starts to build one result and goes on when it is told to."""

    def __init__(self, folder: Path):
        self.folder, self.started, self.go, self.count = (folder / n for n in ("build", "started", "go", "count"))

    def start(self) -> subprocess.Popen:
        command = [sys.executable, "-c", BUILDER, self.folder, self.started, self.go, self.count]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_until_started(self, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + 60
        while not self.started.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "build")


def test_a_finished_result_is_found_again_and_not_built_again(store):
    assert store.find("distil", KEY) is None
    folder = store.make("distil", KEY, _write("whole"))
    assert (folder / "weights").read_text() == "whole"
    assert store.find("distil", KEY) == folder
    assert store.make("distil", KEY, _never) == folder
    assert Store(store.folder).find("distil", KEY) == folder


def test_results_of_other_keys_and_names_are_other_results(store):
    folders = {store.make(name, key, _write(name + key)) for name in ("distil", "prune") for key in (KEY, "cd" * 32)}
    assert len(folders) == 4


def test_a_killed_builder_leaves_nothing_finished_and_the_next_one_builds(tmp_path):
    builder = Builder(tmp_path)
    process = builder.start()
    builder.wait_until_started(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = Store(builder.folder)
    assert store.find("distil", KEY) is None
    assert len(list((store.folder / "making").iterdir())) == 1
    folder = store.make("distil", KEY, _write("whole"))
    assert (folder / "weights").read_text() == "whole"
    assert not list((store.folder / "making").iterdir())


def test_a_second_process_waits_and_takes_what_the_first_one_made(tmp_path):
    builder = Builder(tmp_path)
    first = builder.start()
    builder.wait_until_started(first)
    second = builder.start()
    time.sleep(0.5)
    assert second.poll() is None
    builder.go.touch()
    said = [process.communicate(timeout=60) for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert said[0][0] == said[1][0]
    assert builder.count.read_text() == "built\n"
    assert "distil: another process is making it; waiting" in said[1][1]


def test_two_threads_build_one_result_once(store):
    built = []

    def build(work: Path) -> None:
        built.append(work)
        time.sleep(0.1)
        (work / "weights").write_text("whole")

    threads = [threading.Thread(target=store.make, args=("distil", KEY, build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def _shorten(folder: Path) -> None:
    (folder / "weights").write_text("w")


def _swap_bytes(folder: Path) -> None:
    (folder / "weights").write_text("elohw")


def _remove_file(folder: Path) -> None:
    (folder / "weights").unlink()


def _empty_seal(folder: Path) -> None:
    (folder / SEAL).write_text("")


def _foreign_seal(folder: Path) -> None:
    (folder / SEAL).write_text('{"files": ["weights"], "key": 3}')


def _other_key(folder: Path) -> None:
    (folder / SEAL).write_text((folder / SEAL).read_text().replace(KEY, "cd" * 32))


@pytest.mark.parametrize("damage", [_shorten, _swap_bytes, _remove_file, _empty_seal, _foreign_seal, _other_key])
def test_a_damaged_result_is_built_again(store, damage):
    folder = store.make("distil", KEY, _write("whole"))
    damage(folder)
    assert store.find("distil", KEY) is None
    assert store.make("distil", KEY, _write("whole")) == folder
    assert (folder / "weights").read_text() == "whole"
    assert store.find("distil", KEY) == folder
    assert not list((store.folder / "making").iterdir())


def test_looking_for_a_damaged_result_moves_nothing(store):
    folder = store.make("distil", KEY, _write("whole"))
    _shorten(folder)
    store.find("distil", KEY)  # another process may be building it anew at this moment
    assert (folder / "weights").read_text() == "w"


def test_the_same_content_has_the_same_seal_but_for_its_key(store):
    one = store.make("distil", KEY, _write("whole"))
    other = Store(store.folder.parent / "other").make("distil", KEY, _write("whole"))
    assert (one / SEAL).read_bytes() == (other / SEAL).read_bytes()


def test_an_error_in_a_build_passes_and_leaves_nothing(store):
    def build(work: Path) -> None:
        (work / "weights").write_text("half")
        raise DataError("a clip is gone")

    with pytest.raises(DataError, match="a clip is gone"):
        store.make("distil", KEY, build)
    assert store.find("distil", KEY) is None
    assert not list((store.folder / "making").iterdir())


def test_a_file_that_a_build_reads_elsewhere_is_not_blamed_on_the_store(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        store.make("distil", KEY, lambda work: (tmp_path / "clip.wav").read_bytes())


def _raise_full(*_args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_clear_error_and_nothing_is_kept(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "replace", _raise_full)
        with pytest.raises(StoreError) as caught:
            store.make("distil", KEY, _write("whole"))
    assert str(caught.value) == (
        "the disk is full; nothing half-written was kept\n"
        f"  where: {store.folder}\n"
        "  fix:   free some space or give another --build folder, and run the same command again"
    )
    assert caught.value.exit_code == 1
    assert store.find("distil", KEY) is None
    assert not list((store.folder / "making").iterdir())
    assert store.make("distil", KEY, _write("whole"))


def test_a_full_disk_that_only_a_native_writer_reports_is_recognised(store):
    def build(work: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(StoreError, match="the disk is full"):
        store.make("distil", KEY, build)


@pytest.mark.parametrize("place", ["file", "file/build", "file/deep/build"])
def test_a_file_where_the_build_folder_should_be_is_a_clear_error(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / place)
    assert caught.value.what in ("cannot write here: Not a directory", "cannot write here: File exists")
    assert caught.value.where == str(tmp_path / place)
    assert caught.value.fix == "give a folder you may write to with --build or --out"
    assert caught.value.exit_code == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_folder_without_permission_is_a_clear_error(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot write here: Permission denied"):
        Store(tmp_path / "locked" / "build")


def test_a_forbidden_folder_is_a_clear_error(tmp_path, monkeypatch):
    def refuse(path: Path, *_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match="cannot write here: Permission denied"):
        Store(tmp_path / "build")


def test_write_atomically_replaces_a_whole_file(tmp_path):
    file = tmp_path / "report.json"
    write_atomically(file, "old")
    write_atomically(file, "né")
    assert file.read_bytes() == "né".encode()
    write_atomically(file, b"\0\1")
    assert file.read_bytes() == b"\0\1"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_write_atomically_keeps_the_old_file_when_the_disk_is_full(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    write_atomically(file, "old")
    monkeypatch.setattr(store_module.os, "replace", _raise_full)
    with pytest.raises(StoreError, match="the disk is full"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
