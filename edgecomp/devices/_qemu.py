"""qemu-user, which runs a program of another processor here: taken out of Debian's package, never installed."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

from edgecomp.devices._debian import Apt
from edgecomp.errors import DeviceError

LEAST_QEMU = 10
"""7.2 ends in SIGSEGV when an arm64 ONNX Runtime is imported."""


def take_qemu(apt: Apt, program: str, place: Path, again: str) -> None:
    """Fetch the package qemu-user for this machine and take one program out of it.

    again:  the command that prepares it
    raises: DeviceError where apt cannot fetch it, or the program is not in it
    """
    _take(apt.fetch("qemu-user", apt.host, LEAST_QEMU), f"./usr/bin/{program}", place, again)


def qemu_version(qemu: Path, again: str) -> str:
    """Return a program's version, such as "10.0.2".

    raises: DeviceError where it does not run
    """
    told = checked([str(qemu), "--version"], f"{qemu.name} does not run", again)
    return told.split("version ")[-1].split()[0]


def checked(command: list[str], what: str, again: str) -> str:
    """Return the first line that a command prints.

    raises: DeviceError with its last words where it fails or says nothing
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as why:
        raise DeviceError(f"{what}: {why.strerror}", where=command[0], fix=f"run {again} again") from None
    if done.returncode or not done.stdout.strip():
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DeviceError(f"{what}: {said}", where=command[0], fix=f"run {again} again")
    return done.stdout.splitlines()[0].strip()


def _take(deb: Path, member: str, place: Path, again: str) -> None:
    """Take one program out of a package without unpacking the rest."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as child:
        try:
            with tarfile.open(fileobj=child.stdout, mode="r|") as tar:
                for one in tar:
                    if one.name == member and (source := tar.extractfile(one)) is not None:
                        with place.open("wb") as target:
                            shutil.copyfileobj(source, target)
                        place.chmod(0o755)
                        return
        except tarfile.TarError:
            pass  # said below
        finally:
            child.kill()
    raise DeviceError(f"no {member} in the package", where=deb.name, fix=f"run {again} again")
