"""The demo page of a bundle: generated module, page and runtime built into one folder, and served on this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from filelock import FileLock

from edgecomp.artifact import content_hash
from edgecomp.bundle import Bundle
from edgecomp.embed import embed
from edgecomp.embed.facts import read_facts
from edgecomp.errors import EdgecompError, InputError
from edgecomp.store import clear_errors, write_atomically

SOURCES = Path(__file__).parent / "web" / "demo"
COPIED = ("src", "public", "build.mjs", "package.json", "package-lock.json", "tsconfig.json")
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The first two let a page use threads; the service worker keeps what the browser's own cache must not."""
KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
KINDS |= {".webmanifest": "application/manifest+json", ".tflite": "application/octet-stream"}
LOCAL = ("127.0.0.1", "localhost", "::1")


class DemoError(InputError):
    """The page cannot be built or served."""


def build_demo(bundle: Bundle, out: Path, *, cache: Path = Path("build"), form: str | None = None) -> Path:
    """Build a bundle's page into a folder that any web server can serve; what lies there is replaced.

    form:   "onnx" or "tflite"; None for the format of the target's runtime
    raises: DemoError where Node.js lacks, the packages cannot be installed, or the folder holds something else
    """
    facts = read_facts(bundle, form)
    if out.exists() and any(out.iterdir()) and not (out / "manifest.webmanifest").is_file():
        raise DemoError("something of your own lies where the page goes", where=out, fix="give another folder")
    tools = prepare(cache)
    with clear_errors(cache), tempfile.TemporaryDirectory(prefix="module-", dir=tools.parent) as work:
        module = Path(work) / "web"
        embed(bundle, "web", module, form)
        selector = module / f"{facts.name}.ts"
        _run([_tool("node"), "build.mjs", *map(str, (selector, module / facts.package, out.resolve()))], tools)
    return out


def prepare(cache: Path, *, testing: bool = False) -> Path:
    """Return a folder with the page's sources and the packages of its lock file, installed where they are not yet.

    testing: with the packages that only the tests need
    raises:  DemoError where Node.js lacks or npm fails
    """
    npm, tools = _tool("npm"), cache.resolve() / "web-demo" / "tools"
    seal, stated = tools / "installed.txt", content_hash(SOURCES / "package-lock.json")
    with clear_errors(cache):
        tools.mkdir(parents=True, exist_ok=True)
        with FileLock(tools.with_name("tools.lock")):
            _copy_sources(tools, (*COPIED, "test") if testing else COPIED)
            installed = seal.read_text(encoding="ascii").split() if seal.is_file() else []
            if stated not in installed or (testing and "testing" not in installed):
                seal.unlink(missing_ok=True)
                fewer = [] if testing else ["--omit=dev"]
                _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *fewer], tools)
                write_atomically(seal, f"{stated}{' testing' if testing else ''}\n")
    return tools


def _copy_sources(tools: Path, names: tuple[str, ...]) -> None:
    """Bring the sources up to date file by file: another build may be reading those that stay."""
    for name in names:
        stated = {p.relative_to(SOURCES) for p in [SOURCES / name, *(SOURCES / name).rglob("*")] if p.is_file()}
        for file in stated:
            content = (SOURCES / file).read_bytes()
            if not (tools / file).is_file() or (tools / file).read_bytes() != content:
                (tools / file).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(tools / file, content)
        for place in (tools / name).rglob("*"):
            if place.is_file() and place.relative_to(tools) not in stated:
                place.unlink()


class DemoServer:
    """Serves a built page from this machine until it is closed.

    host: 127.0.0.1 for this machine alone; a phone's browser opens the microphone only for HTTPS or localhost
    port: 0 for any free one
    """

    def __init__(self, site: Path, host: str = "127.0.0.1", port: int = 0):
        try:
            self._server = ThreadingHTTPServer((host, port), partial(_Handler, directory=str(site)))
        except OSError as why:
            fix = "another --port, or 0 for any free one"
            raise DemoError(
                f"cannot listen on {host}:{port}: {why.strerror or why}", where="serve-demo", fix=fix
            ) from None
        self._server.daemon_threads = True
        shown = "localhost" if host in LOCAL else host
        self.address = f"http://{shown}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def __enter__(self) -> DemoServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Serve until the process is told to stop."""
        self._thread.join()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **KINDS}  # noqa: RUF012, as its base class has it

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        self.send_error(404)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):  # the page was closed while it was being answered
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Write no log."""


def _tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise DemoError(
            f"{name} is not installed", where="serve-demo", fix="install Node.js 18 or newer, which brings npm"
        )
    return path


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as why:
        raise EdgecompError(f"{command[0]} cannot be started: {why.strerror}", where=folder) from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = next((line for line in said if "error" in line.lower()), said[-1] if said else "no reason given")
        what = f"{Path(command[0]).name} {command[1]} failed: {last}"
        raise DemoError(
            what, where=folder, fix="see that the npm registry can be reached; delete this folder and try again"
        )
