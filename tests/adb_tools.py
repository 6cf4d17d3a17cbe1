"""A real adb and adbd for tests: Debian packages, unpacked and not installed, in a network namespace of their own.

adbd there is a root shell without a password, so it must never listen where another machine could reach it. Its TCP port
lies in the namespace; for its vsock port, which namespaces do not cut off, the kernel wants rights over the whole
machine below 1024, and the namespace's root has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "adb-tools"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
STAND_IN = Path(__file__).with_name("stand_in_am.py")
TOOLS = Path("usr/lib/android-sdk/platform-tools")
TRIES = 3
"""A mirror can be in the middle of a sync."""


def adb_tools() -> Path:
    """Return the folder under which usr/lib/android-sdk/platform-tools holds adb and adbd; skip the test without them."""
    if all((Path("/") / TOOLS / name).exists() for name in ("adb", "adbd")):
        return Path("/")
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "lock"):
        root = CACHE / "root"
        if not root.exists():
            why = _fetch(CACHE / "new")
            if why:
                pytest.skip(f"no adbd here, and it cannot be fetched: {why}")
            (CACHE / "new" / "root").rename(root)
        return root


def _fetch(work: Path) -> str:
    """Fetch adb, adbd and what they need and this machine lacks, and unpack them; returns why not, or nothing."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and Path(KEYS).exists()):
        return "this is no Debian"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("state/lists/partial", "cache/archives/partial", "root"):
        (work / folder).mkdir(parents=True)
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    rows = {tuple(line.split()) for line in listed if line.endswith(" main")}
    own = next(((uri, release) for uri, release, _ in sorted(rows) if "debian" in uri and "-" not in release), None)
    if own is None:
        return "apt knows no Debian archive"
    uri, release = own
    suites = (release, f"{release}-backports")
    (work / "sources.list").write_text("".join(f"deb [signed-by={KEYS}] {uri} {suite} main\n" for suite in suites))
    apt = ["apt-get", "-o", f"Dir::State={work}/state", "-o", f"Dir::Cache={work}/cache"]
    apt += ["-o", f"Dir::Etc::sourcelist={work}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null"]
    apt += ["-o", "Debug::NoLocking=1", "-o", "APT::Update::Error-Mode=any"]
    wanted = ["install", "--download-only", "--no-install-recommends", "-y", "-t", suites[1], "adb", "adbd"]
    for command in (["update"], wanted):
        for left in reversed(range(TRIES)):
            done = subprocess.run(
                ["timeout", "120", *apt, *command], capture_output=True, text=True, check=False
            )  # an archive out of reach must end in a skip, not in a wait
            if done.returncode == 0:
                break
            if not left:
                return (done.stderr.strip().splitlines() or [f"apt-get ended with {done.returncode}"])[-1]
            time.sleep(2)
    for package in sorted((work / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(work / "root")], check=True)
    return "" if (work / "root" / TOOLS / "adbd").exists() else "the packages hold no adbd"


class Phones:
    """Some adbds with an adb server, cut off from every network; `adb` in `bin` speaks to that server alone.

    What runs there ends with this object, or with this process.
    """

    def __init__(self, folder: Path, bundle: Path, count: int = 2):
        tools, self.folder = adb_tools(), folder
        names = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu")
        libraries = ":".join(f"{tools}/{name}:{tools}/{name}/android" for name in names)
        namespace = ["unshare", "-r", "-n", "-p", "-f", "--mount-proc", "--kill-child"]
        if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this system gives no network namespace: `unshare -r -n -p` fails")
        self.bin, home = folder / "bin", folder / "home"
        for made in (self.bin, home, folder / "phone-bin"):
            made.mkdir(parents=True)
        own = {
            "HOME": home,
            "ADB_SERVER_SOCKET": f"localfilesystem:{folder}/s",
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",  # or adb takes every adbd for an emulator as well
            "ADB_MDNS": "0",
            "ADB_USB": "0",
            "LD_LIBRARY_PATH": libraries,
        }
        exports = "".join(f"export {name}='{value}'\n" for name, value in own.items())
        _script(folder / "server", f"{exports}exec {tools / TOOLS}/adb server nodaemon\n")
        guard = (
            f"[ -S {folder}/s ] || {{ echo 'error: no adb server' >&2; exit 1; }}\n"  # else adb starts one, out here
        )
        _script(self.bin / "adb", f'{guard}{exports}unset ANDROID_SERIAL\nexec {tools / TOOLS}/adb "$@"\n')
        path = os.pathsep.join(map(str, sys.path))
        said = f"export PYTHONPATH='{path}' STAND_IN_BUNDLE='{bundle}'\nunset LD_LIBRARY_PATH\n"
        _script(folder / "phone-bin" / "am", f'{said}exec {sys.executable} {STAND_IN} "$@"\n')
        start = (
            f"env EXTERNAL_STORAGE={folder}/phone$n ADBD_PORT=70$n PATH={folder}/phone-bin:/usr/bin:/bin "
            f"LD_LIBRARY_PATH={libraries} {tools / TOOLS}/adbd >>{folder}/adbd$n.log 2>&1 & eval pid$n=$!"
        )
        script = (
            f"ip link set lo up\n{folder}/server >{folder}/server.log 2>&1 &\n"
            f"while read verb n; do case $verb in start) {start};; stop) eval kill -9 \\$pid$n;; esac; done\n"
        )
        self._inside = subprocess.Popen([*namespace, "sh", "-c", script], stdin=subprocess.PIPE, text=True)
        self.serials = [f"127.0.0.1:70{number}" for number in range(1, count + 1)]
        for number in range(1, count + 1):
            (folder / f"phone{number}").mkdir()
            self.start(number)
        self._connect()

    def start(self, number: int) -> None:
        """Start an adbd, as if the phone had been plugged in."""
        self._order("start", number)

    def stop(self, number: int) -> None:
        """Kill an adbd, as if the phone had been unplugged; what it had started runs on."""
        self._order("stop", number)

    def adb(self, *arguments: str) -> str:
        """Run adb and return what it says."""
        done = subprocess.run([self.bin / "adb", *arguments], capture_output=True, text=True, check=False, timeout=30)
        return done.stdout + done.stderr

    def storage(self, number: int) -> Path:
        """Return the folder that is a phone's shared storage."""
        return self.folder / f"phone{number}"

    def close(self) -> None:
        """End everything in the namespace: its first process reads its orders to the end."""
        (self.folder / "s").unlink(missing_ok=True)
        self._inside.stdin.close()
        self._inside.wait(timeout=10)

    def _order(self, verb: str, number: int) -> None:
        self._inside.stdin.write(f"{verb} {number}\n")
        self._inside.stdin.flush()

    def _connect(self) -> None:
        until = time.monotonic() + 30
        while self.adb("devices").count("\tdevice") < len(self.serials):
            if time.monotonic() > until:
                logs = "".join(log.read_text() for log in sorted(self.folder.glob("*.log")))
                self.close()
                pytest.fail(f"adbd did not come up:\n{logs}")
            for serial in self.serials:
                self.adb("connect", serial)
            time.sleep(0.2)


def _script(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    place.chmod(0o755)
