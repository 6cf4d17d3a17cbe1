"""A compile that is killed, doubled, stopped or starved of disk space: it ends with the same files, or says why not."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edgecomp.bundle import read_bundle
from tests.small_task import command, edgecomp, refused, write_target, write_task


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compile")
    write_target(folder)
    write_task(folder / "task", clips=6)
    return folder


def _words(place: Path, build: Path) -> list[object]:
    return ["compile", place / "task", "--target", place / "anything.toml", "--build", build]


def _hashes(stdout: str) -> dict[str, str]:
    """Return the hash of every model file that a compile made, by stage and format, and of those that ship."""
    bundle = Path(stdout.strip())
    report = json.loads((bundle / "report.json").read_text())
    made = {f"{stage['name']} {file['format']}": file["hash"] for stage in report["stages"] for file in stage["files"]}
    return made | {form: model["sha256"] for form, model in read_bundle(bundle).facts["models"].items()}


@pytest.fixture(scope="module")
def undisturbed(place) -> dict[str, str]:
    done = edgecomp(*_words(place, place / "undisturbed"), quick=True)
    assert done.returncode == 0, done.stderr
    return _hashes(done.stdout)


def _start(place: Path, build: Path) -> subprocess.Popen:
    return subprocess.Popen(command(*_words(place, build), quick=True), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])})


def _wait_for(process: subprocess.Popen, build: Path, pattern: str, timeout_s: float = 120) -> bool:
    """Wait until a compile has something in its build folder; False where it ended before."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if any(build.glob(pattern)):
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    raise AssertionError(f"{pattern} did not appear in {timeout_s} s")


def _group_ends(group: int, timeout_s: float = 30) -> bool:
    """Say whether no process of a group is left soon."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_compile_killed_again_and_again_ends_with_the_same_files(place, undisturbed):
    build, killed = place / "killed", 0
    for moment in ("making/waveforms-*", "making/distil-*", "done/prune-*", "making/quantise-*", "done/costs-*", "bundles/.*.new-*"):
        process = _start(place, build)
        if _wait_for(process, build, moment):
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        assert _group_ends(process.pid)
        assert not (build / "bundles" / "tones-anything").exists() or read_bundle(build / "bundles" / "tones-anything")
    assert killed >= 3
    finished = {p.name: p.stat().st_mtime_ns for p in (build / "done").iterdir()}
    done = edgecomp(*_words(place, build), quick=True)
    assert done.returncode == 0, done.stderr
    assert _hashes(done.stdout) == undisturbed
    assert {name: (build / "done" / name).stat().st_mtime_ns for name in finished} == finished, "a finished step was made again"
    assert not [p.name for p in (build / "bundles").iterdir() if ".new-" in p.name]


def test_no_process_outlives_a_compile_that_was_killed(place, tmp_path):
    process = _start(place, tmp_path / "build")
    assert _wait_for(process, tmp_path / "build", "making/distil-*")
    process.kill()
    process.communicate()
    assert _group_ends(process.pid), "a process of the killed compile is still there"


def test_two_compiles_at_once_in_one_build_folder_end_alike(place, undisturbed, tmp_path):
    both = [_start(place, tmp_path / "build") for _ in range(2)]
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert [_hashes(out) for out, _ in ends] == [undisturbed, undisturbed]


@pytest.mark.parametrize("moment", ["making/waveforms-*", "making/distil-*"])
def test_an_interrupt_gives_one_line_and_exit_code_130(place, tmp_path, moment):
    process = _start(place, tmp_path / "build")
    assert _wait_for(process, tmp_path / "build", moment)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1] == "stopped; finished steps are kept, and the same command goes on from there"
    assert _group_ends(process.pid)
    assert not list((tmp_path / "build" / "making").iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """Give a function that mounts a file system of some bytes, where this machine lets a test do so."""
    mounted = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        tool = shutil.which("mount")
        tried = tool and subprocess.run([tool, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False)
        if not tried or tried.returncode:
            pytest.skip("this machine does not let a test mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [100_000, 700_000, 1_500_000])
def test_a_full_disk_is_one_clear_error_with_nothing_half_written(place, small_disk, size):
    disk = small_disk(size)
    done = edgecomp(*_words(place, disk / "build"), quick=True)
    refused(done, "the disk is full", "free some space", code=1)
    assert done.stdout == ""
    assert not list((disk / "build" / "making").iterdir())
    assert not (disk / "build" / "bundles").exists() or not [p for p in (disk / "build" / "bundles").iterdir() if p.is_dir()]


def test_a_full_disk_under_out_keeps_the_steps_and_leaves_no_bundle(place, undisturbed, small_disk):
    disk = small_disk(100_000)
    done = edgecomp(*_words(place, place / "undisturbed"), "--out", disk, quick=True)
    refused(done, "the disk is full", str(disk), code=1)
    assert [p for p in disk.iterdir() if p.is_dir()] == []
    again = edgecomp(*_words(place, place / "undisturbed"), quick=True)
    assert _hashes(again.stdout) == undisturbed
