"""One ssh connection to a machine: a folder there that vanishes with it, commands and files that share it.

The first session holds the connection and the folder: it waits on its input, and when that ends, because we close it, die
or are cut off, its shell removes the folder. The user's own ssh settings rule over keys, aliases and host keys.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from edgecomp.errors import DeviceError

CONNECT_S = 10
OPEN_S = 60.0
"""From the start of ssh to the folder: a board that wakes up, names that are resolved, a jump host on the way."""
COPY_S = 300.0
CLOSE_S = 10.0
LOST = 255
"""How ssh itself ends where the connection fails; a command's own code comes through as it is."""
OPTIONS = {
    "BatchMode": "yes",  # nobody is there to answer a question
    "ConnectTimeout": CONNECT_S,
    "ServerAliveInterval": 5,  # a board without power is noticed after 20 s
    "ServerAliveCountMax": 4,
    "LogLevel": "ERROR",  # no greetings
    "RequestTTY": "no",
    "RemoteCommand": "none",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "ControlPersist": "no",
}
FOLDER = "edgecomp-folder "
HOLD = (
    'umask 077; d=$(mktemp -d "${TMPDIR:-/tmp}/edgecomp.XXXXXXXX") || exit 74; '
    """trap 'rm -rf "$d"' EXIT; trap 'exit 1' HUP INT TERM PIPE; """
    f'echo "{FOLDER}$d"; cat > /dev/null'
)
FAULTS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key of {host} is another one than this machine knows",
        "if it was set up anew: ssh-keygen -R {host}, then ssh {host} once by hand; if not, do not connect",
    ),
    (
        "Host key verification failed|host key is known",
        "the host key of {host} is not known here",
        "run ssh {host} once by hand, compare the fingerprint and accept it",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "{host} accepts none of this user's keys",
        "ssh-copy-id {host}, and ssh-add for a key with a passphrase; passwords are not asked for",
    ),
    ("Could not resolve hostname", "there is no machine of the name {host}", "check the name, or ~/.ssh/config"),
    ("Connection refused", "{host} does not take ssh connections", "start sshd there, or name its port: ssh:HOST:PORT"),
    (
        "timed out|No route to host|Network is unreachable|Host is down",
        "{host} does not answer",
        "check its power and network; it must answer within " + f"{CONNECT_S} s",
    ),
    ("No space left|Disk quota", "the disk of {host} is full", "free some space in its TMPDIR or /tmp"),
    (
        "mktemp|Read-only file system|Permission denied$|cannot create",
        "nothing can be written on {host}",
        "set TMPDIR there to a folder that this user may write to",
    ),
)
"""What ssh or the far shell says → what happened and what to do."""


@dataclass(frozen=True)
class Target:
    """Where to: [USER@]HOST[:PORT][?python=PATH]; the host may be an alias of ~/.ssh/config."""

    destination: str
    port: str = ""
    python: str = "python3"

    def __str__(self) -> str:
        return f"{self.destination}:{self.port}" if self.port else self.destination


def read_target(text: str) -> Target:
    """Read what stands after ssh: on the command line.

    raises: DeviceError where it is no such thing; a name that begins with - would be an option to ssh
    """
    found = re.fullmatch(
        r"((?:[A-Za-z0-9_][^@\s:?]*@)?(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9_][\w.-]*))(?::(\d{1,5}))?(?:\?python=(\S.*))?",
        text,
    )
    if not found or not 0 < int(found[2] or 22) < 65536:
        raise DeviceError(
            f"cannot read {text!r}",
            where=f"--on ssh:{text}",
            fix="write ssh:USER@HOST, ssh:USER@HOST:PORT or an alias of ~/.ssh/config, with ?python=PATH after it if needed",
        )
    return Target(found[1].replace("[", "").replace("]", ""), found[2] or "", found[3] or "python3")


class Link:
    """A connection and its folder on the other machine.

    folder: its path there
    """

    def __init__(self, target: Target):
        ssh = shutil.which("ssh")
        if ssh is None:
            raise DeviceError("ssh is not installed here", where="PATH", fix="install OpenSSH's client")
        self.target = target
        self._held: dict[str, str] = {}
        base = None if len(tempfile.gettempdir()) < 60 else "/tmp"  # a socket's path has room for 104 characters
        self._own = tempfile.TemporaryDirectory(prefix="edgecomp-ssh-", dir=base)
        self._ssh = [ssh, *(part for key, value in OPTIONS.items() for part in ("-o", f"{key}={value}"))]
        self._ssh += ["-S", str(Path(self._own.name) / "s"), *(["-p", target.port] if target.port else [])]
        self._errors = Path(self._own.name) / "errors"
        try:
            self.folder = self._hold()
        except BaseException:
            self.close()
            raise

    def command(self, script: str) -> list[str]:
        """Return the local command that runs a line of shell over the connection; it never makes a new one."""
        shared = ["-o", "ControlMaster=no", "-o", "ProxyCommand=false"]
        return [*self._ssh, *shared, self.target.destination, f"sh -c {shlex.quote(script)}"]

    def put(self, content: bytes | Path, name: str) -> str:
        """Write a file into the folder, whole or not at all, unless it is there; returns its path.

        raises: DeviceError where the disk is full or the connection is lost
        """
        raw = content if isinstance(content, bytes) else content.read_bytes()
        digest, place = hashlib.sha256(raw).hexdigest(), f"{self.folder}/{name}"
        if self._held.get(name) == digest:
            return place
        part = shlex.quote(f"{place}.part")
        script = f"cat > {part} && mv -f {part} {shlex.quote(place)}"
        try:
            done = subprocess.run(self.command(script), input=raw, capture_output=True, timeout=COPY_S, check=False)
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"{name} could not be copied within {COPY_S:g} s",
                where=f"ssh {self.target}",
                fix="use a faster network",
            ) from None
        if done.returncode:
            raise self.failure(done.returncode, done.stderr.decode(errors="replace"))
        self._held[name] = digest
        return place

    @property
    def is_up(self) -> bool:
        """Say whether the connection stands."""
        return self._holder.poll() is None

    def failure(self, code: int, said: str) -> DeviceError:
        """Return the error for a failed command and what it or ssh wrote to stderr."""
        host, where = self.target.destination, f"ssh {self.target}"
        if code == LOST and hasattr(self, "folder"):
            try:
                self._holder.wait(timeout=1)  # the sessions learn of it a moment before the connection's own process
            except subprocess.TimeoutExpired:
                pass
            else:
                return DeviceError(
                    f"the connection to {host} was lost",
                    where=where,
                    fix="check its power and network, and run the same command again",
                )
        for pattern, what, fix in FAULTS:
            if re.search(pattern, said, re.MULTILINE):
                return DeviceError(what.format(host=host), where=where, fix=fix.format(host=host))
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit code {code}")
        return DeviceError(f"ssh to {host} failed: {last}", where=where, fix=f"see that `ssh {host} true` works")

    def close(self) -> None:
        """End the connection; the shell there removes the folder."""
        if hasattr(self, "_holder"):
            self._holder.stdin.close()
            try:
                self._holder.wait(timeout=CLOSE_S)
            except subprocess.TimeoutExpired:
                self._holder.kill()
                self._holder.wait()
            self._holder.stdout.close()
        self._own.cleanup()

    def _hold(self) -> str:
        """Start the session that holds the connection, and return the folder that it made."""
        command = [*self._ssh, "-o", "ControlMaster=yes", self.target.destination, f"sh -c {shlex.quote(HOLD)}"]
        with self._errors.open("w", encoding="utf-8") as errors:  # a file: ssh's helpers may outlive it, holding a pipe
            self._holder = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us; the folder is removed when we close
            )
        timer = threading.Timer(OPEN_S, self._holder.kill)
        timer.start()
        try:
            for line in self._holder.stdout:
                if line.startswith(FOLDER):
                    return line.removeprefix(FOLDER).strip()
            code = self._holder.wait()
        finally:
            timer.cancel()
        if code < 0:
            raise DeviceError(
                f"{self.target.destination} gave no shell within {OPEN_S:g} s",
                where=f"ssh {self.target}",
                fix=f"see that `ssh {self.target.destination} true` works",
            )
        raise self.failure(code, self._errors.read_text(encoding="utf-8", errors="replace"))
