"""A headless Chromium of this machine: found, started on a fresh profile, watched and ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from edgecomp.errors import DeviceError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-component-update",
    "--disable-sync",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
)


def find_chromium() -> str:
    """Return the path of a Chromium.

    raises: DeviceError where there is none
    """
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        fix = "install the package chromium, or use browser:open and open the address in any browser"
        raise DeviceError(f"no Chromium here: none of {', '.join(NAMES)}", where="browser", fix=fix)
    return found


def version(chromium: str) -> str:
    """Return "Chromium 150.0.7871.100"; its bare name where it does not say."""
    told = subprocess.run([chromium, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    found = re.search(r"(Chromium|Google Chrome) [\d.]+", told)
    return found[0] if found else "Chromium"


class Chromium:
    """A running browser with one page open, on a profile of its own that is removed with it."""

    def __init__(self, address: str, flags: tuple[str, ...] = ()):
        self.path = find_chromium()
        self._profile = tempfile.TemporaryDirectory(prefix="edgecomp-chromium-", ignore_cleanup_errors=True)
        sandbox = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()  # root may have none
        command = [self.path, *FLAGS, *sandbox, *flags, f"--user-data-dir={self._profile.name}", address]
        self._log = Path(self._profile.name) / "stderr.txt"
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
                )
        except OSError as why:
            self._profile.cleanup()
            raise DeviceError(f"Chromium cannot be started: {why.strerror}", where=self.path) from None

    def check(self) -> None:
        """Raise DeviceError where it has ended by itself."""
        if (code := self._process.poll()) is None:
            return
        said = (
            self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if self._log.exists() else []
        )
        last = f": {said[-1][:300]}" if said else ""
        raise DeviceError(f"Chromium ended with {code}{last}", where=self.path, fix="run the same command again")

    def page_pss_bytes(self) -> int | None:
        """Return the proportional memory of its largest page process, as the kernel counts it; None where it does not say."""
        found = [_pss_bytes(one) for one in Path("/proc").glob("[0-9]*") if _is_page(one, self._process.pid)]
        return max((size for size in found if size is not None), default=None)

    def close(self) -> None:
        """End it and all that it started, and remove its profile."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own: only its own processes are in it
        self._process.wait()
        self._profile.cleanup()


def _is_page(process: Path, session: int) -> bool:
    """Say whether a process draws pages for the browser that leads a session."""
    try:
        stat, command = (process / "stat").read_text(encoding="utf-8"), (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return False
    return stat.rpartition(")")[2].split()[3] == str(session) and b"--type=renderer" in command


def _pss_bytes(process: Path) -> int | None:
    with suppress(OSError):
        for line in (process / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None
