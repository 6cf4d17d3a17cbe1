"""A compile that is killed, doubled, stopped or starved of disk space: it ends with the same files, or says why not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
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


SHORT = ["distil.epochs=8", "finetune.epochs=2", "verify.int8_agreement=0.0", "verify.int8_mean=1.0"]
"""Little training and no bound: these tests ask whether the files are the same, and not whether they are good."""


def _words(place: Path, build: Path) -> list[object]:
    sets = [word for setting in SHORT for word in ("--set", setting)]
    return ["compile", place / "task", "--target", place / "anything.toml", "--build", build, *sets]


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


@dataclass(frozen=True)
class Started:
    """A compile in a process group of its own; its output goes to files, since what outlives it may hold a pipe."""

    process: subprocess.Popen
    build: Path

    @classmethod
    def now(cls, place: Path, build: Path, name: str = "first") -> Started:
        build.mkdir(exist_ok=True)
        with (build / f"{name}.out").open("w") as out, (build / f"{name}.err").open("w") as err:
            process = subprocess.Popen(
                command(*_words(place, build), quick=True),
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            )
        return cls(process, build)

    def reaches(self, pattern: str, timeout_s: float = 120) -> bool:
        """Wait until the build folder has something; False where the compile ended before."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if any(self.build.glob(pattern)):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.002)
        raise AssertionError(f"{pattern} did not appear in {timeout_s} s")

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, as a terminal does, and wait for the compile's end."""
        os.killpg(self.process.pid, number)
        self.process.wait(60)

    def is_gone(self, timeout_s: float = 20) -> bool:
        """Say whether no process of the group is left soon; ends what is left."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.05)
        os.killpg(self.process.pid, signal.SIGKILL)
        return False


def test_a_compile_killed_again_and_again_ends_with_the_same_files(place, undisturbed):
    build, killed = place / "killed", 0
    for moment in ("making/distil-*", "making/quantise-*", "bundles/.*.new-*"):
        started = Started.now(place, build)
        if started.reaches(moment):
            started.signal(signal.SIGKILL)
            killed += 1
        assert started.is_gone()
        delivered = build / "bundles" / "tones-anything"
        assert not delivered.exists() or read_bundle(delivered)
    assert killed >= 2  # the last moments are short, and a busy machine may miss one
    finished = {p.name: p.stat().st_mtime_ns for p in (build / "done").iterdir()}
    done = edgecomp(*_words(place, build), quick=True)
    assert done.returncode == 0, done.stderr
    assert _hashes(done.stdout) == undisturbed
    assert {name: (build / "done" / name).stat().st_mtime_ns for name in finished} == finished, (
        "a finished step was made again"
    )
    assert [p.name for p in (build / "bundles").iterdir() if p.is_dir()] == ["tones-anything"]


def test_no_process_outlives_a_compile_that_was_killed(place, tmp_path):
    started = Started.now(place, tmp_path / "build")
    assert started.reaches("making/distil-*")
    started.process.kill()  # itself alone: what it started has to notice
    started.process.wait()
    assert started.is_gone()


def test_two_compiles_at_once_in_one_build_folder_end_alike(place, undisturbed, tmp_path):
    both = [Started.now(place, tmp_path / "build", name) for name in ("first", "second")]
    assert [started.process.wait(300) for started in both] == [0, 0]
    outs = [(tmp_path / "build" / f"{name}.out").read_text() for name in ("first", "second")]
    assert [_hashes(out) for out in outs] == [undisturbed, undisturbed]


@pytest.mark.parametrize("moment", ["making/waveforms-*", "making/distil-*"])
def test_an_interrupt_gives_one_line_and_exit_code_130(place, tmp_path, moment):
    build = tmp_path / "build"
    started = Started.now(place, build)
    assert started.reaches(moment)
    started.signal(signal.SIGINT)
    err = (build / "first.err").read_text()
    assert started.process.returncode == 130, err
    assert (build / "first.out").read_text() == "" and "Traceback" not in err
    assert err.splitlines()[-1] == "stopped; finished steps are kept, and the same command goes on from there"
    assert started.is_gone() and not list((build / "making").iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """Give a function that mounts a file system of some bytes, where this machine lets a test do so."""
    mounted = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        tool = shutil.which("mount")
        words = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        tried = tool and subprocess.run([tool, *words], capture_output=True, check=False)
        if not tried or tried.returncode:
            pytest.skip("this machine does not let a test mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [100_000, 700_000])
def test_a_full_disk_is_one_clear_error_with_nothing_half_written(place, small_disk, size):
    disk = small_disk(size)
    done = edgecomp(*_words(place, disk / "build"), quick=True)
    refused(done, "the disk is full", "free some space", code=1)
    assert done.stdout == ""
    assert not list((disk / "build" / "making").iterdir())
    assert not list((disk / "build").glob("bundles/*"))


def test_a_full_disk_under_out_keeps_the_steps_and_leaves_no_bundle(place, undisturbed, small_disk):
    disk = small_disk(100_000)
    done = edgecomp(*_words(place, place / "undisturbed"), "--out", disk, quick=True)
    refused(done, "the disk is full", str(disk), code=1)
    assert [p for p in disk.iterdir() if p.is_dir()] == []
    again = edgecomp(*_words(place, place / "undisturbed"), quick=True)
    assert _hashes(again.stdout) == undisturbed
