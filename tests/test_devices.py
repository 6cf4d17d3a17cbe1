"""The contract of the devices: every file of the folder opens one, refuses nonsense, and says what its numbers are worth."""

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from edgecomp.cli import devices as _commands  # noqa: F401, it adds them to the command line
from edgecomp.devices import (
    BrokenOffError,
    Device,
    Effort,
    How,
    Start,
    devices,
    gather_starts,
    lines_to_answers,
    lines_to_timing,
    open_device,
)
from edgecomp.errors import DeviceError
from tests.small_task import call

NONSENSE = "\x00 no such thing"
METHODS = ("describe", "answers", "time", "starts", "close")


@pytest.fixture(params=devices())
def kind(request) -> str:
    return request.param


def _classes(kind: str) -> list[type]:
    module = import_module(f"edgecomp.devices.{kind}")
    own = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
    return [one for one in own if hasattr(one, "answers")]


def test_every_file_opens_a_device_of_its_kind(kind):
    module = import_module(f"edgecomp.devices.{kind}")
    assert list(inspect.signature(module.open_device).parameters) == ["argument", "cache"]
    assert module.__doc__.strip() and _classes(kind)


def test_every_device_has_the_calls_of_the_protocol_with_its_parameters(kind):
    for one in _classes(kind):
        for name in METHODS:
            wanted = inspect.signature(getattr(Device, name)).parameters
            assert list(inspect.signature(getattr(one, name)).parameters) == list(wanted), f"{one.__name__}.{name}"
        assert hasattr(one, "__enter__") and hasattr(one, "__exit__")


def test_every_device_says_what_its_numbers_are_worth(kind):
    assert all(one.how in get_args(How) for one in _classes(kind))
    assert all(set(getattr(one, "forms", ())) <= {"onnx", "tflite"} for one in _classes(kind)), "or it asks the device"


def test_nonsense_after_the_colon_is_refused_with_what_is_allowed(kind, tmp_path):
    with pytest.raises(DeviceError) as caught:
        open_device(f"{kind}:{NONSENSE}", tmp_path)
    assert caught.value.fix and caught.value.where and "Traceback" not in str(caught.value)


def test_an_unknown_kind_names_the_one_that_was_meant():
    with pytest.raises(DeviceError, match="unknown device 'arm46'") as caught:
        open_device("arm46")
    assert caught.value.fix.startswith("did you mean 'arm64'? allowed: ")


def test_the_list_shows_every_kind_at_once(tmp_path):
    begun = time.perf_counter()
    code = (
        "import sys\nfrom edgecomp.cli import app, devices\napp(['devices', 'list', '--json'], standalone_mode=False)"
    )
    code += "\nprint(sorted({'torch', 'onnx', 'onnxruntime', 'ai_edge_litert'} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    *rows, heavy = said.splitlines()
    assert {json.loads(row)["kind"] for row in rows} == set(devices()) and heavy == "[]"
    assert all(set(json.loads(row)["how"].split(", ")) <= set(get_args(How)) for row in rows)
    assert time.perf_counter() - begun < 20, "a second on an idle machine"


def test_a_kind_that_is_not_prepared_is_listed_so_and_names_the_command(tmp_path):
    done = call("devices", "list", "--json", "--build", str(tmp_path))
    row = next(json.loads(line) for line in done.out.splitlines() if '"arm64"' in line)
    assert row["missing"] == "the arm64 emulation is not prepared" and row["how"] == "emulated"
    done = call("devices", "describe", "arm64", "--build", str(tmp_path))
    assert done.code == 2 and "fix:   edgecomp devices prepare arm64" in done.err


def test_a_device_is_described_as_text_and_as_json():
    facts = json.loads(call("devices", "describe", "host", "--json").out)
    assert facts["cores"] >= 1 and facts["how"] == "measured" and facts["forms"] == ["onnx", "tflite"]
    assert f"name             {facts['name']}" in call("devices", "describe", "host").out


def test_a_kind_without_preparation_says_so_and_an_unknown_one_is_refused():
    done = call("devices", "prepare", "host")
    assert done.code == 0 and "host needs no preparation" in done.err
    assert call("devices", "prepare", "hots").code == 2


def _window(row: int) -> dict:
    return {
        "event": "window",
        "window": row,
        "at_s": float(row),
        "taken": {"a": {"median_ms": 1.0, "runs": 2, "ms": [1, 1]}},
    }


def _lost_after(count: int) -> Iterator[dict]:
    yield {"event": "loaded", "name": "a", "runtime": "LiteRT 1"}
    yield {"event": "planned", "windows": 9, "repeats": {}, "cpu": 3}
    yield from map(_window, range(count))
    raise DeviceError("it was unplugged", fix="plug it in")


def test_windows_that_came_before_a_device_was_lost_are_kept():
    timing = lines_to_timing(_lost_after(2), Effort(), "a clock")
    assert len(timing.windows) == 2 and "it was unplugged" in timing.lost and timing.runtimes == {"a": "LiteRT 1"}
    assert timing.held == "pinned to CPU 3" and np.array_equal(timing.windows[1].ms["a"], [1, 1])


def test_a_device_that_was_lost_before_any_window_is_an_error():
    with pytest.raises(DeviceError, match="it was unplugged"):
        lines_to_timing(_lost_after(0), Effort(), "a clock")


def _answers_until(count: int, order=None) -> Iterator[dict]:
    yield {"event": "loaded", "runtime": "LiteRT 1"}
    for row in order or range(count):
        yield {"event": "answer", "row": row, "probabilities": [row / 8, 1 - row / 8], "uncertainty": row}
    if order is None:
        raise DeviceError("it was unplugged", where="the port", fix="plug it in")


def test_answers_that_came_before_a_device_was_lost_go_with_the_error():
    with pytest.raises(BrokenOffError, match="it was unplugged; the first 2 of 5 clips had been answered") as caught:
        lines_to_answers(_answers_until(2), 5, "a board")
    kept = caught.value.kept
    assert kept.probabilities.tolist() == [[0, 1], [0.125, 0.875]] and kept.runtime == "LiteRT 1"
    assert kept.uncertainty.tolist() == [0, 1] and (caught.value.where, caught.value.fix) == ("the port", "plug it in")


def test_a_device_that_was_lost_before_any_answer_has_nothing_to_keep():
    with pytest.raises(DeviceError, match="it was unplugged") as caught:
        lines_to_answers(_answers_until(0), 5, "a board")
    assert not isinstance(caught.value, BrokenOffError)


def test_answers_are_put_in_the_clips_order_and_a_gap_is_an_error():
    found = lines_to_answers(_answers_until(3, [2, 0, 1]), 3, "a board")
    assert found.probabilities[:, 0].tolist() == [0, 0.125, 0.25]
    with pytest.raises(DeviceError, match="no answer to 1 of 3 clips, the first is clip 2") as caught:
        lines_to_answers(_answers_until(2, [2, 0]), 3, "a board")
    assert caught.value.where == "a board" and not isinstance(caught.value, BrokenOffError)


def _starts_until(count: int) -> Iterator[Start]:
    yield from (Start(float(ms), 1.0, {}) for ms in range(count))
    raise DeviceError("it was unplugged")


def test_starts_that_were_done_before_a_device_was_lost_go_with_the_error():
    with pytest.raises(BrokenOffError, match="it was unplugged; 2 of 5 starts had been done") as caught:
        gather_starts(_starts_until(2), 5)
    assert [start.cold_ms for start in caught.value.kept] == [0, 1]
    with pytest.raises(DeviceError) as caught:
        gather_starts(_starts_until(0), 5)
    assert not isinstance(caught.value, BrokenOffError)


def test_shared_parts_of_the_folder_are_no_kinds():
    assert not any(kind.startswith("_") for kind in devices()) and {"host", "arm64", "ssh", "x86"} <= set(devices())
    assert Path(import_module("edgecomp.devices").__file__).parent.joinpath("_scripted.py").exists()
