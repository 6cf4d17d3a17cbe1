"""Any Linux board or computer that is reached by ssh, such as a Raspberry Pi; it needs Python 3.9, numpy and one runtime."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Any

from edgecomp.devices._scripted import Scripted
from edgecomp.devices._ssh_link import LOST, Link, Target, read_target
from edgecomp.errors import DeviceError

NEEDS = "USER@HOST with a key; Python 3.9, numpy and onnxruntime or ai-edge-litert there"
RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai_edge_litert"}
LEAST_PYTHON = (3, 9)
NOT_FOUND, NOT_RUNNABLE, SIGNALLED = 127, 126, 128
"""How a shell ends where a command is not there, cannot be executed, or was ended by a signal (added to its number)."""


class Ssh(Scripted):
    """A machine over ssh; what is put there lies in a temporary folder that vanishes with the connection."""

    def __init__(self, target: Target):
        self.target, self.python = target, target.python
        self.name = f"ssh {target}"
        self._link = Link(target)
        try:
            facts = self.describe()
            count = facts["cores"]
            self.name = f"ssh {target} ({facts['model'] or facts['cpu']}, {count} core{'' if count == 1 else 's'})"
            self.forms = self._forms(facts)
        except BaseException:
            self.close()
            raise

    def put(self, content: bytes | Path, name: str) -> str:
        """Copy a file to the folder there, unless it is there."""
        return self._link.put(content, name)

    def command(self, arguments: list[str]) -> list[str]:
        """Return the ssh command; a leading ~ of the interpreter is that machine's home."""
        python, *rest = arguments
        program = f'"$HOME"/{shlex.quote(python[2:])}' if python.startswith("~/") else shlex.quote(python)
        # What a runtime leaves in TMPDIR vanishes with the folder. The shell stays, so that a process
        # that is killed there is told from a connection that is lost.
        folder = shlex.quote(self._link.folder)
        return self._link.command(f"cd {folder} && TMPDIR={folder} {program} {shlex.join(rest)}; exit $?")

    def close(self) -> None:
        """End the connection; the folder there goes with it."""
        self._link.close()

    def failure(self, code: int, complaints: list[str]) -> DeviceError:
        """Return the error for a job that failed there."""
        said = "".join(complaints)
        if code == LOST or "No space left" in said:
            return self._link.failure(code, said)
        if code in (NOT_FOUND, NOT_RUNNABLE):
            what = "is not there" if code == NOT_FOUND else "cannot be executed"
            return self._error(
                f"{self.python} {what}", "install python3 there, or name one: ssh:HOST?python=/path/to/python"
            )
        if code > SIGNALLED:
            number = code - SIGNALLED
            name = signal.Signals(number).name if number in iter(signal.Signals) else f"signal {number}"
            why = {"SIGKILL": ", perhaps for lack of memory", "SIGILL": ": a runtime built for another processor"}
            return self._error(
                f"the process there was ended by {name}{why.get(name, '')}",
                "see `dmesg` there, or try the other format",
            )
        return super().failure(code, complaints)

    def _forms(self, facts: dict[str, Any]) -> tuple[str, ...]:
        """Return the formats whose runtime can be imported there.

        raises: DeviceError where Python is too old, or numpy or both runtimes are missing
        """
        if tuple(map(int, facts["python"].split(".")[:2])) < LEAST_PYTHON:
            raise self._error(f"Python {facts['python']} is too old", "3.9 or newer: ssh:HOST?python=/path/to/python")
        packages = ["numpy", *RUNTIMES.values()]
        reasons = {one["name"]: one["reason"] for one in self._events({"job": "packages", "names": packages})}
        install = (
            f"{self.python} -m pip install numpy ai-edge-litert there (or onnxruntime); a venv is named by ?python=PATH"
        )
        if reasons["numpy"]:
            raise self._error(f"{self.python} cannot import numpy: {reasons['numpy']}", install)
        if all(reasons[name] for name in RUNTIMES.values()):
            told = "; ".join(f"{name}: {reasons[name]}" for name in RUNTIMES.values())
            raise self._error(f"{self.python} can import no runtime: {told}", install)
        return tuple(form for form, name in RUNTIMES.items() if not reasons[name])

    def _error(self, what: str, fix: str) -> DeviceError:
        return DeviceError(what, where=self.name, fix=fix)


def open_device(argument: str, cache: Path) -> Ssh:
    """Connect to a machine and look at what it can run.

    argument: [USER@]HOST[:PORT][?python=PATH], or an alias of ~/.ssh/config
    raises:   DeviceError where it cannot be reached or lacks what is needed
    """
    return Ssh(read_target(argument))


def missing(cache: Path) -> str:
    """Say what is not ready yet; empty where nothing is."""
    import shutil

    return "" if shutil.which("ssh") else "ssh is not installed here"
