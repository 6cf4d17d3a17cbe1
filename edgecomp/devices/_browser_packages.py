"""The npm packages that the measuring page needs: installed once from the lock file, only what is served kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from edgecomp.artifact import content_hash
from edgecomp.errors import DeviceError

PAGE = Path(__file__).resolve().parents[1] / "web" / "bench"
PREPARE = "edgecomp devices prepare browser"
SEAL = "prepared.json"
"""Written last: the lock file's hash and the versions, by which an unfinished or older folder is known."""
SERVED = {
    "litert/index.js": "@litertjs/core/dist/index.js",
    "wasm-utils/index.js": "@litertjs/wasm-utils/dist/index.js",
    "ort/ort.wasm.min.mjs": "onnxruntime-web/dist/ort.wasm.min.mjs",
    "ort/ort-wasm-simd-threaded.mjs": "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "ort/ort-wasm-simd-threaded.wasm": "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    **{
        f"litert/wasm/litert_wasm_{kind}.{suffix}": f"@litertjs/core/wasm/litert_wasm_{kind}.{suffix}"
        for kind in ("internal", "compat_internal", "threaded_internal")
        for suffix in ("js", "wasm")
    },
}
"""What the page loads → where npm puts it. The other builds (WebGPU, WebGL, JSPI) are 140 MB and not served."""
VERSIONED = ("@litertjs/core", "onnxruntime-web")


@dataclass(frozen=True)
class Packages:
    """The runtimes for browsers that lie ready.

    folder:   holds the files of SERVED
    versions: package → version
    """

    folder: Path
    versions: dict[str, str]


def prepare(cache: Path) -> Packages:
    """Install the packages of the lock file with npm, in the build folder, unless they are there.

    raises: DeviceError where npm is missing or fails
    """
    folder = _folder(cache)
    if (ready := _ready(folder)) is not None:
        return ready
    npm = shutil.which("npm")
    if npm is None:
        raise DeviceError("npm is not installed", where="browser", fix="install Node.js 18 or newer, which brings npm")
    work = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    lock.acquire()
    try:
        if (ready := _ready(folder)) is not None:  # another process was faster
            return ready
        work.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(PAGE / name, work / name)
        install(npm, work)
        modules = work / "node_modules"
        for served, source in SERVED.items():
            (work / served).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(modules / source, work / served)
        versions = {
            one: json.loads((modules / one / "package.json").read_text("utf-8"))["version"] for one in VERSIONED
        }
        shutil.rmtree(modules)
        seal = {"lock": content_hash(PAGE / "package-lock.json"), "versions": versions}
        (work / SEAL).write_text(json.dumps(seal, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    except OSError as why:
        raise DeviceError(
            f"cannot write there: {why.strerror or why}", where=folder, fix="free space, or another --build"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()
    return Packages(folder, versions)


def packages(cache: Path) -> Packages:
    """Return the packages that were prepared.

    raises: DeviceError with the command that prepares them
    """
    if (ready := _ready(_folder(cache))) is None:
        raise DeviceError("the runtimes for browsers are not prepared", where=_folder(cache), fix=PREPARE)
    return ready


def install(npm: str, folder: Path) -> None:
    """Install exactly what a folder's lock file says; no package's own script is run.

    raises: DeviceError with npm's last words
    """
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = next((line for line in said if "error" in line.lower()), said[-1] if said else "no reason given")
        raise DeviceError(
            f"npm ci failed: {last}", where=folder, fix="see that the npm registry can be reached, and try again"
        )


def _folder(cache: Path) -> Path:
    return cache.resolve() / "devices" / "browser"


def _ready(folder: Path) -> Packages | None:
    try:
        told = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        whole = told["lock"] == content_hash(PAGE / "package-lock.json") and all(
            (folder / one).is_file() for one in SERVED
        )
        return Packages(folder, dict(told["versions"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError):  # absent, unfinished or damaged: all mean the same here
        return None
