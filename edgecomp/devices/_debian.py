"""Debian packages without installing them: an apt with a state of its own, for any architecture, for any user."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from edgecomp.errors import DeviceError
from edgecomp.progress import say

KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg")
"""Where the package debian-archive-keyring puts the archive's keys."""
LEAST_DEBIAN = 12
"""11 has Python 3.9, for which today's runtimes have no wheels."""
NEEDS_BACKPORTS = (12,)
"""Releases whose own qemu-user is too old."""
PAUSES_S = (5, 20, 60)
"""Between two tries: a mirror in the middle of its update lists files that it does not have yet."""
TIMEOUT_S = 900.0


class Apt:
    """An apt whose lists, cache and notion of what is installed lie in a folder.

    architecture: of the packages, in Debian's spelling; None for this machine's own
    otherwise:    what to do where this is no Debian, for the error
    """

    def __init__(
        self, folder: Path, architecture: str | None, otherwise: str, os_release: Path = Path("/etc/os-release")
    ):
        for tool in ("apt-get", "apt-cache", "dpkg", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise _no_debian(f"there is no {tool} here", otherwise)
        self.folder, self.host = folder, _said(["dpkg", "--print-architecture"]).strip()
        self.architecture = architecture = architecture or self.host
        for name in ("lists/partial", "archives/partial", "parts"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(_sources(os_release, otherwise), encoding="utf-8")
        settings = {
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::archives": folder / "archives",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": folder / "parts",
            "APT::Architecture": architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",  # apt's own user may not write into our folder
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::http::Timeout": "30",
        }
        both = [
            part for one in dict.fromkeys((architecture, self.host)) for part in ("-o", f"APT::Architectures::={one}")
        ]
        self._options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")] + both

    def update(self) -> None:
        """Fetch the lists of packages.

        raises: DeviceError after the last try
        """
        self._get("the lists of packages", ["update"])

    def fetch_with_dependencies(self, *packages: str) -> list[Path]:
        """Fetch packages and all that they need."""
        self._get(" ".join(packages), ["install", "--download-only", "--yes", *packages])
        return sorted((self.folder / "archives").glob("*.deb"))

    def fetch(self, package: str, architecture: str, least: int) -> Path:
        """Fetch one package alone, in its newest version; least is the smallest major version that will do."""
        versions = self.versions(f"{package}:{architecture}")
        good = [one for one in versions if int(re.sub(r"^\d+:", "", one).split(".")[0]) >= least]
        if not good:
            raise DeviceError(
                f"{package} {least} or newer is not offered; there is {', '.join(versions) or 'none'}",
                where="apt",
                fix="use a mirror that has this release's backports",
            )
        place = self.folder / f"{package}-alone"
        place.mkdir()
        self._get(package, ["download", f"{package}:{architecture}={good[0]}"], place)
        return next(place.glob("*.deb"))

    def versions(self, package: str) -> list[str]:
        """Return the versions that are offered, newest first."""
        rows = _said(["apt-cache", *self._options, "madison", package]).splitlines()
        return [row.split("|")[1].strip() for row in rows if row.count("|") > 1]

    def depends(self, package: str, prefix: str) -> str:
        """Return the package that one depends on whose name begins so, such as python3-minimal → python3.11-minimal."""
        for line in _said(["apt-cache", *self._options, "depends", package]).splitlines():
            name = line.split("Depends:")[-1].strip().removesuffix(f":{self.architecture}")
            if "Depends:" in line and name.startswith(prefix):
                return name
        raise DeviceError(f"{package} depends on no {prefix}…", where="apt", fix="use a whole mirror of Debian")

    def unpack(self, deb: Path, folder: Path) -> None:
        """Unpack a package into a folder; none of its scripts is run."""
        _said(["dpkg-deb", "-x", str(deb), str(folder)])

    def _get(self, what: str, arguments: list[str], folder: Path | None = None) -> None:
        """Run apt-get, and again after a while where a mirror does not serve what it lists."""
        for pause_s in (*PAUSES_S, None):
            try:
                done = subprocess.run(
                    ["apt-get", "-q", *self._options, *arguments],
                    cwd=folder or self.folder,
                    capture_output=True,
                    text=True,
                    timeout=TIMEOUT_S,
                    check=False,
                )
                said = done.stderr.splitlines()
                # a list that could not be fetched is only a warning where an older one lies there
                bad = [line for line in said if line.startswith("E:") or "Failed to fetch" in line]
                if done.returncode == 0 and not bad:
                    return
            except subprocess.TimeoutExpired:
                bad = [f"no end after {TIMEOUT_S:g} s"]
            last = (bad or ["no reason given"])[0].removeprefix("E: ")
            if pause_s is None:
                break
            say(f"apt: {last}; again in {pause_s} s")
            time.sleep(pause_s)
            if arguments != ["update"]:
                subprocess.run(["apt-get", "-q", *self._options, "update"], capture_output=True, check=False)
        raise DeviceError(
            f"apt cannot fetch {what}: {last}",
            where="apt",
            fix="see that the mirror in apt's sources can be reached, and run the same command again in some minutes",
        )


def _sources(os_release: Path, otherwise: str) -> str:
    """Return apt sources for all architectures: the mirror of this machine's own Debian, and backports where needed."""
    told = dict(line.split("=", 1) for line in _read(os_release).splitlines() if "=" in line)
    release = {key: value.strip("\"'") for key, value in told.items()}
    if release.get("ID") != "debian":
        raise _no_debian(f"this is {release.get('PRETTY_NAME', 'an unknown system')}", otherwise)
    version = int(release["VERSION_ID"]) if release.get("VERSION_ID", "").isdigit() else None  # testing has none
    if version is not None and version < LEAST_DEBIAN:
        raise _no_debian(f"this is Debian {version}", otherwise)
    command = [
        "apt-get",
        "indextargets",
        "--no-release-info",
        "--format",
        "$(SITE) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]
    names = {release.get("VERSION_CODENAME"), "stable", "oldstable", "testing", "unstable", "sid"}
    rows = (line.split() for line in _said(command).splitlines())
    site, suite = next(
        ((row[0], row[1]) for row in rows if len(row) == 3 and row[1] in names and row[2] == "main"), (None, None)
    )
    if site is None:
        raise _no_debian("apt's sources name no Debian mirror with the component main", otherwise)
    keyring = next((one for one in KEYRINGS if Path(one).exists()), None)
    signed = f"[signed-by={keyring}] " if keyring else ""
    suites = [suite, *([f"{suite}-backports"] if version in NEEDS_BACKPORTS else [])]
    return "".join(f"deb {signed}{site} {one} main\n" for one in suites)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def _said(command: list[str]) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise DeviceError(f"{command[0]} failed: {last}", where=" ".join(command[-2:]), fix="run the command again")
    return done.stdout


def _no_debian(what: str, otherwise: str) -> DeviceError:
    fix = f"prepare it on Debian {LEAST_DEBIAN} or newer (a container will do), or {otherwise}"
    return DeviceError(what, where="Debian's packages", fix=fix)
