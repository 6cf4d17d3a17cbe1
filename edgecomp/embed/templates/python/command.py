"""The command line: files, a folder being watched, or a microphone → JSON lines."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from .facts import ModelError
from .form import FormError, answers_beside
from .model import Model
from .outcome import as_row
from .sources import Rows, finished_files, listen_to_alsa


class _Stopped(BaseException):
    """The process was asked to stop."""


def run(load: Any, name: str, arguments: list[str] | None) -> int:
    """Run the command line.

    returns: 0 done, 1 an error or a self-test that fails, 2 bad usage or a file that cannot be read
    """
    told = _read_arguments(name, arguments)
    before = {kind: signal.signal(kind, _stop) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _run(load(), told)
    except ModelError as why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    except _Stopped:
        return 0
    except BrokenPipeError:  # the reader of our output has gone
        return 0
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _read_arguments(name: str, arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"examples:\n  python -m {name} clip.wav other.wav\n"
        f"  python -m {name} --watch inbox/ --out answers.jsonl\n  python -m {name} --alsa default --rate 48000\n\n"
        "Ask the model about recordings; one JSON object a line, and nothing leaves this machine. Answers to the bundle's\n"
        "questions, if it has any, are read from clip.answers.json beside clip.wav; they change no outcome.",
    )
    parser.add_argument("files", nargs="*", metavar="CLIP", help="WAV files of any rate")
    parser.add_argument(
        "--watch", type=Path, metavar="DIR", help="answer every WAV file that comes into a folder, once"
    )
    parser.add_argument("--alsa", metavar="DEVICE", help="listen to an ALSA device such as default or hw:1,0")
    parser.add_argument("--self-test", action="store_true", help="replay the golden clips on this machine")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append rows here instead of printing them")
    parser.add_argument("--rate", type=int, default=16000, help="of the ALSA device, in Hz (default %(default)s)")
    parser.add_argument("--pool", type=int, default=3, help="windows to average while listening (default %(default)s)")
    parser.add_argument("--hold", type=int, default=1, help="times in a row before a change (default %(default)s)")
    parser.add_argument(
        "--poll", type=float, default=1.0, metavar="S", help="seconds between looks (default %(default)s)"
    )
    told = parser.parse_args(arguments)
    if sum(map(bool, (told.files, told.watch, told.alsa, told.self_test))) != 1:
        parser.error("give either files, --watch, --alsa or --self-test")
    if not 0.01 <= told.poll <= 3600:
        parser.error(f"--poll {told.poll}: allowed are 0.01 to 3600 seconds")
    return told


def _run(model: Model, told: argparse.Namespace) -> int:
    rows = Rows(told.out)
    if told.self_test:
        found = model.self_test()
        row = {"passed": found.passed, "worst": found.worst if found.worst == found.worst else None}
        rows.write({**row, "tolerance": found.tolerance, "clips": found.clips, "version": model.facts.version})
        return 0 if found.passed else 1
    if told.alsa:
        listen_to_alsa(model.listen(told.rate, told.pool, told.hold), told.alsa, told.rate, rows.write)
        return 0
    if told.watch:
        answered = {(row.get("path"), row.get("bytes"), row.get("modified_ns")) for row in rows.before()}
        for path, about in finished_files(told.watch, answered, told.poll):
            rows.write(_answer(model, path, about))
    found = [_answer_and_write(model, Path(path), rows) for path in told.files]
    return 2 if {"error", "answers_error"} & {key for row in found for key in row} else 0


def _answer_and_write(model: Model, path: Path, rows: Rows) -> dict[str, Any]:
    row = _answer(model, path, {"path": str(path)})
    rows.write(row)
    return row


def _answer(model: Model, path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return a row for one file; one that cannot be read has an `error` instead of an answer.

    Answers to the form that lie beside it stand in the row. Where they cannot be used, the row says why: the outcome holds.
    """
    try:
        outcome = model.answer_file(path)
    except ModelError as why:
        return {**about, "error": str(why), "bundle": model.facts.bundle, "version": model.facts.version}
    try:
        beside = answers_beside(model.facts.questions, path) if model.facts.questions else None
    except FormError as why:
        return {**about, **as_row(model.facts, outcome), "answers_error": str(why)}
    return {**about, **as_row(model.facts, outcome, beside)}


def _stop(*_: object) -> NoReturn:
    raise _Stopped
