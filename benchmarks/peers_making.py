"""A peer is one script of benchmarks/peers/. Here it is read, and run in an environment of its own, which is measured.

A script says in its header (PEP 723) which packages it needs, which row of the table it is, and which environment it shares.
It finds teacher.onnx, teacher.pt2, student.pt2 and calibration.npy in the folder that it runs in, and leaves model.onnx or
model.tflite there. A peer that fails leaves its error instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(__file__).resolve().parent / "peers"
INPUTS = ("teacher.onnx", "teacher.pt2", "student.pt2", "calibration.npy", "seed")
MODELS = ("model.onnx", "model.tflite")
LONGEST_S = 3600.0
"""For one installation, and for one script."""
QUIET = {"OMP_NUM_THREADS": "1", "OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
"""What every script runs under: one thread as everything here, and nothing sent anywhere."""


@dataclass(frozen=True)
class Peer:
    """One way to get a small model, and the code that a user writes for it.

    of:           "teacher", "student" or "edgecomp": what it starts from
    environment:  peers of one name share an environment
    dependencies: pinned
    lines:        of user code: neither empty nor a comment or docstring
    """

    name: str
    script: Path
    row: str
    of: str
    environment: str
    order: int
    dependencies: tuple[str, ...]
    lines: int


@dataclass(frozen=True)
class Made:
    """What became of a peer.

    key:           hash of the script and of what it was given
    error:         empty where it left a model
    install_bytes: of its environment's site-packages, pip not counted
    script_cpu_s:  of all its processes together: what a busy machine does not stretch
    versions:      of every package in the environment
    """

    key: str
    error: str = ""
    install_s: float | None = None
    install_bytes: int | None = None
    script_s: float | None = None
    script_cpu_s: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def read_peers(folder: Path = SCRIPTS) -> list[Peer]:
    """Return the peers of a folder, in the order that their headers give."""
    found = [read_peer(file) for file in folder.iterdir() if file.suffix in (".py", ".sh")]
    return sorted(found, key=lambda peer: (peer.order, peer.name))


def read_peer(script: Path) -> Peer:
    """Read one script's header."""
    text = script.read_text(encoding="utf-8")
    _, _, rest = text.partition("# /// script\n")
    header, found, _ = rest.partition("# ///\n")
    if not found:
        raise ValueError(f"{script}: no header between '# /// script' and '# ///'")
    facts = tomllib.loads("".join(line.removeprefix("#") + "\n" for line in header.splitlines()))
    told = facts["tool"]["peer"]
    return Peer(
        name=script.stem,
        script=script,
        row=told["row"],
        of=told["of"],
        environment=told["environment"],
        order=told["order"],
        dependencies=tuple(one.replace("{project}", str(ROOT)) for one in facts["dependencies"]),
        lines=code_lines(text),
    )


def code_lines(text: str) -> int:
    """Count the lines of a script or TOML file that are neither empty, nor a comment, nor its docstring."""
    lines = [line.strip() for line in text.splitlines()]
    if lines and lines[0].startswith('"""'):
        end = next((at for at, line in enumerate(lines) if line.endswith('"""') and (at or len(line) > 3)), 0)
        lines = lines[end + 1 :]
    return sum(1 for line in lines if line and not line.startswith("#"))


def read_made(folder: Path) -> Made | None:
    """Return what became of a peer, or None where it was never run."""
    file = folder / "made.json"
    return Made(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def model_of(folder: Path) -> Path | None:
    """Return the model that a peer left."""
    return next((folder / name for name in MODELS if (folder / name).exists()), None)


def make(
    peers: Sequence[Peer],
    folder: Path,
    keys: Mapping[str, str],
    *,
    given: Mapping[str, str],
    fresh: frozenset[str] = frozenset(),
    keep: bool = False,
) -> None:
    """Run every peer that is not made yet; each environment is installed once, and removed after its last script.

    folder: of the task; holds inputs/, and gets a folder for each peer
    keys:   hash of what peers start from, by Peer.of
    given:  environment variables for the scripts
    fresh:  names of peers to make again whatever is there
    keep:   leave the environments where they are
    """
    for name in dict.fromkeys(peer.environment for peer in peers):
        members = [peer for peer in peers if peer.environment == name]
        late = [peer for peer in members if peer.name in fresh or _is_late(peer, folder, keys)]
        if not late:
            continue
        place = folder.parent / "environments" / name
        print(f"installing {name}", file=sys.stderr, flush=True)
        installed = _install(place, members[0].dependencies)
        for peer in late:
            print(f"running {peer.name}", file=sys.stderr, flush=True)
            _run(peer, folder, replace(installed, key=_key(peer, keys)), place, given)
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def last_words(output: str) -> str:
    """Return the line of an output that says what went wrong: the last one, or the last that names an error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line.replace(f"{ROOT}/", "") for line in lines]  # where this checkout lies is nobody's business
    named = [line for line in lines if "Error" in line.split(":")[0].split("(")[0] or line.lower().startswith("error")]
    return (named or lines or ["it failed and said nothing"])[-1]


def _key(peer: Peer, keys: Mapping[str, str]) -> str:
    said = [peer.script.read_text(encoding="utf-8"), *peer.dependencies, keys.get(peer.of, "")]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _is_late(peer: Peer, folder: Path, keys: Mapping[str, str]) -> bool:
    made = read_made(folder / peer.name)
    return made is None or made.key != _key(peer, keys)


def _install(place: Path, dependencies: Sequence[str]) -> Made:
    """Make an environment with pip's cache turned off, and measure how long it takes and how large it is."""
    python = place / "bin" / "python"
    made = _ended([sys.executable, "-m", "venv", "--clear", str(place)], ROOT, {})
    if not made.error:
        filled = _ended([str(python), "-m", "pip", "install", "--no-cache-dir", "--quiet", *dependencies], ROOT, {})
        made = replace(filled, seconds=made.seconds + filled.seconds)
    if made.error:
        return Made("", f"installation: {made.error}", made.seconds)
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True
    )
    versions = {one["name"]: one["version"] for one in json.loads(listed.stdout) if one["name"] != "pip"}
    return Made("", "", made.seconds, _installed_bytes(place), versions=versions)


def _installed_bytes(place: Path) -> int:
    """Return the size of an environment's packages; pip itself does not count."""
    packages = next((place / "lib").glob("python*/site-packages"))
    files = (file for file in packages.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files if not file.relative_to(packages).parts[0].startswith("pip"))


def _run(peer: Peer, folder: Path, made: Made, environment: Path, given: Mapping[str, str]) -> None:
    """Run a script in an empty folder beside its inputs, and write down what became of it."""
    place = folder / peer.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if not made.error:
        for name in INPUTS:
            (place / name).symlink_to(Path("..") / "inputs" / name)
        runner = [str(environment / "bin" / "python")] if peer.script.suffix == ".py" else ["bash", "-e"]
        ended = _ended([*runner, str(peer.script)], place, {**given, "PATH": _path(environment)})
        made = replace(made, error=ended.error, script_s=ended.seconds, script_cpu_s=ended.cpu_s)
        if not made.error and model_of(place) is None:
            made = replace(made, error="the script ended well and left no model")
    for one in place.iterdir():  # what a model was made from is large, and told by the script
        if one.name not in MODELS or made.error:
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
    (place / "made.json").write_text(json.dumps(asdict(made), indent=1, sort_keys=True), encoding="utf-8")


def _path(environment: Path) -> str:
    return os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", "")])


@dataclass(frozen=True)
class _Ended:
    """How a command ended. error: what it said last where it failed, and nothing where it did not."""

    error: str
    seconds: float
    cpu_s: float


def _ended(command: Sequence[str], folder: Path, more: Mapping[str, str]) -> _Ended:
    """Run a command to its end."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **QUIET, **more},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
        error = last_words(done.stderr or done.stdout) if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"no end within {LONGEST_S:.0f} s"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Ended(error, time.monotonic() - start, cpu_s)
