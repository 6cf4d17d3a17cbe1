"""The debug bridge: find adb and a phone, run shell commands there, push and pull; every failure says what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgecomp.errors import DeviceError

COMMAND_TIMEOUT_S = 30.0
"""A phone that is there answers in well under a second; some tens where it is asleep or busy."""
COPY_TIMEOUT_S = 600.0
LOST = re.compile(
    r"^(adb: )?error: (device (offline|still|not found|'.*' not found|unauthorized)|closed|no devices|protocol fault"
    r"|connect failed|.*(connection reset|broken pipe|failed to read))|cannot connect to daemon",
    re.IGNORECASE | re.MULTILINE,
)
"""What adb writes when the phone has gone; everything else comes from the phone itself."""

FIXES = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer; where it does not ask, choose "
    "'Revoke USB debugging authorisations' in its developer options and plug it in again",
    "authorizing": "wait a moment, unlock the phone, and run the same command again",
    "connecting": "wait a moment and run the same command again",
    "offline": "plug it in again, or run `adb reconnect offline`; over the network: `adb connect HOST:PORT`",
    "no permissions": "this user may not open the USB device: install the udev rules (Debian: android-udev-rules), join "
    "the group plugdev, log in again, and plug the phone in again",
    "recovery": "start Android: `adb reboot`",
    "sideload": "start Android: `adb reboot`",
    "bootloader": "start Android: `fastboot reboot`",
}
"""What to do about each state that is not "device"."""
ABSENT = "switch on USB debugging in the phone's developer options and plug it in; `adb devices` must list it"


class LostError(DeviceError):
    """The phone went away while it was being used."""


@dataclass(frozen=True)
class Attached:
    """One line of `adb devices -l`.

    state: "device" where it can be used
    model: as adb knows it, such as "Redmi_7A"; empty where it does not
    """

    serial: str
    state: str
    model: str

    def __str__(self) -> str:
        return (
            f"adb:{self.serial}"
            + (f" ({self.model})" if self.model else "")
            + ("" if self.usable else f" {self.state}")
        )

    @property
    def usable(self) -> bool:
        """Say whether it obeys."""
        return self.state == "device"


@dataclass(frozen=True)
class Said:
    """What a shell command on the phone answered."""

    code: int
    text: str
    complaint: str


def find_adb() -> str:
    """Return the adb program: on the PATH, or in the Android SDK that ANDROID_HOME names.

    raises: DeviceError where there is none
    """
    places = [os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT")]
    for found in (shutil.which("adb"), *(shutil.which(f"{place}/platform-tools/adb") for place in places if place)):
        if found:
            return found
    raise DeviceError(
        "adb is not installed here",
        where="PATH, ANDROID_HOME",
        fix="install Android's platform-tools (Debian: apt install adb) and put them on the PATH",
    )


def parse_devices(text: str) -> list[Attached]:
    """Read what `adb devices -l` writes."""
    found = []
    for line in text.splitlines():
        row = re.match(r"(\S+)\s+(no permissions|[a-z]+)\b(.*)", line)
        if row and not line.startswith(("List of", "*", "adb")):
            model = re.search(r"\bmodel:(\S+)", row[3])
            found.append(Attached(row[1], row[2], model[1] if model else ""))
    return found


def choose(adb: str, serial: str) -> Attached:
    """Return the phone that was meant: by its serial, or without one the only one that is there.

    raises: DeviceError where it is absent, in a state that cannot be used, or one of several
    """
    done = _call([adb, "devices", "-l"], COMMAND_TIMEOUT_S, serial)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DeviceError(f"adb cannot list the phones: {last}", where=adb, fix="run `adb kill-server` and try again")
    listed = parse_devices(done.stdout)
    shown = ", ".join(map(str, listed)) or "none"
    if serial:
        meant = next((one for one in listed if one.serial == serial), None)
        if meant is None:
            raise DeviceError(f"no phone {serial!r}; connected: {shown}", where=f"--on adb:{serial}", fix=ABSENT)
    elif not listed:
        raise DeviceError("no phone is connected", where="--on adb", fix=ABSENT)
    else:
        usable = [one for one in listed if one.usable] or listed
        if len(usable) > 1:
            raise DeviceError(
                f"{len(usable)} phones are connected: {shown}",
                where="--on adb",
                fix="name one, or several with --on for each: " + " ".join(f"--on adb:{one.serial}" for one in usable),
            )
        meant = usable[0]
    if not meant.usable:
        fix = FIXES.get(meant.state, f"bring it to state 'device'; connected: {shown}")
        raise DeviceError(
            f"the phone {meant.serial} is {_state(meant.state)}", where=f"--on adb:{meant.serial}", fix=fix
        )
    return meant


class Bridge:
    """The way to one phone; every call raises LostError where the phone has gone."""

    def __init__(self, adb: str, serial: str):
        self.adb, self.serial = adb, serial

    def shell(self, script: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Said:
        """Run a line of the phone's shell; a code other than 0 is the caller's to judge."""
        done = self._run("shell", script, timeout_s=timeout_s)
        return Said(done.returncode, done.stdout.replace("\r\n", "\n"), done.stderr)

    def push(self, local: Path, remote: str) -> None:
        """Copy a file, or the content of a folder ("folder/."), to the phone.

        raises: DeviceError where the storage is full or may not be written
        """
        done = self._run("push", str(local) + ("/." if local.is_dir() else ""), remote, timeout_s=COPY_TIMEOUT_S)
        if done.returncode:
            raise self.refusal(f"{local.name} cannot be put on the phone", done.stderr or done.stdout, remote)

    def pull(self, remote: str) -> bytes | None:
        """Return a file's content; None where it is not there.

        raises: DeviceError where it is there and cannot be read
        """
        with tempfile.TemporaryDirectory(prefix="edgecomp-") as folder:
            local = Path(folder) / "pulled"
            done = self._run("pull", remote, str(local), timeout_s=COPY_TIMEOUT_S)
            if done.returncode == 0:
                return local.read_bytes()
        said = done.stderr + done.stdout
        if "No such file" in said or "does not exist" in said:
            return None
        raise self.refusal("a result cannot be fetched from the phone", said, remote)

    def is_there(self) -> bool:
        """Say whether the phone is connected and obeys."""
        try:
            done = _call([self.adb, "-s", self.serial, "get-state"], COMMAND_TIMEOUT_S, self.serial)
        except LostError:
            return False
        return done.returncode == 0 and done.stdout.strip() == "device"

    def refusal(self, what: str, said: str, where: str) -> DeviceError:
        """Return the error for what the phone itself refused, with the fix that its words suggest."""
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no reason given")
        fix = "run the same command again; if it stays, try the file with --on host"
        if "No space left" in said:
            free = self.shell(f"df -k {where.rpartition('/')[0] or '/'}").text.splitlines()
            left = f"; {free[-1].split()[3]} kB are free" if free and len(free[-1].split()) > 3 else ""
            last, fix = f"its storage is full{left}", "delete something on the phone, and run the same command again"
        elif re.search(r"Permission denied|Read-only|not permitted|couldn't create file", said):
            fix = "open the demo app once by hand, so that Android makes its folder, and run the same command again"
        return DeviceError(f"{what}: {last}", where=f"adb:{self.serial} {where}", fix=fix)

    def _run(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        done = _call([self.adb, "-s", self.serial, *arguments], timeout_s, self.serial)
        if done.returncode and (LOST.search(done.stderr) or not self.is_there()):
            last = (done.stderr.strip().splitlines() or ["it no longer answers"])[-1]
            raise LostError(
                f"the phone was lost: {last.removeprefix('adb: ').removeprefix('error: ')}",
                where=f"adb:{self.serial}",
                fix="plug it in again (another cable, no hub), keep it unlocked, and run the same command again",
            )
        return done


def _call(command: list[str], timeout_s: float, serial: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise LostError(
            f"adb had no answer within {timeout_s:g} s",
            where=f"adb:{serial}".rstrip(":"),
            fix="unlock the phone, plug it in again; `adb kill-server` ends a stuck adb",
        ) from None
    except OSError as why:
        raise DeviceError(f"{command[0]} cannot be started: {why.strerror}", where="adb") from None


def _state(state: str) -> str:
    return {"no permissions": "there, and this user has no permissions for it"}.get(state, state)
