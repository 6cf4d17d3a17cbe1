"""The web server that gives browsers the measuring page and its jobs, and takes back what they measured."""

from __future__ import annotations

import hmac
import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from edgecomp.devices._browser_packages import PAGE, SERVED, Packages
from edgecomp.errors import DeviceError

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""With these a page on HTTPS or localhost may use threads and a clock of 5 µs steps."""
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
}
PAGE_FILES = ("index.html", "style.css", "page.js", "facts.js", "job.html", "job.js", "runtimes.js", "timing.js")
POLL_S = 5.0
"""How long a page's question for a job stays open: a page is heard of at least so often."""
SILENCE_S = 60.0
"""A page that was not heard of for so long is lost: one window takes about a second, a sleeping phone for ever."""
MOST_BODY = 64 << 20
LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""None of them looks like another: people type the address into a phone."""


class Tab:
    """One page that somebody opened: what it says it is, its jobs and what it sends back."""

    def __init__(self, name: str, facts: Mapping[str, Any]):
        self.name, self.facts = name, facts
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.job: dict[str, Any] = {}
        self.files: dict[str, bytes | Path] = {}
        self.seen_s = time.monotonic()
        self.is_gone = False

    def run(
        self, job: Mapping[str, Any], files: Mapping[str, bytes | Path], still: Any = None
    ) -> Iterator[dict[str, Any]]:
        """Give the page a job and yield its events until it is done.

        files: what the job may fetch, by name
        still: called between events; it raises where the browser itself is gone
        raises: DeviceError where the page refuses, fails, is closed or falls silent
        """
        self.job = {**job, "id": secrets.token_hex(4)}
        self.files = dict(files)
        self.jobs.put(self.job)
        while True:
            try:
                event = self.events.get(timeout=0.5)
            except queue.Empty:
                self._check(still)
                continue
            if event.pop("id") != self.job["id"]:  # of a job that was given up
                continue
            if event["event"] == "done":
                return
            if event["event"] == "failed":
                raise DeviceError(str(event["what"]), where=self.name, fix=str(event["fix"]))
            yield event

    def _check(self, still: Any) -> None:
        if still is not None:
            still()
        if self.is_gone:
            raise DeviceError(
                "the page was closed or reloaded in the middle of its work",
                where=self.name,
                fix="open the address again, leave the page in front, and run the same command again",
            )
        if time.monotonic() - self.seen_s > SILENCE_S:
            raise DeviceError(
                f"no sign of life for {SILENCE_S:g} s",
                where=self.name,
                fix="keep the page in front and the screen on, and run the same command again",
            )


class PageServer:
    """Serves the page under an address with a secret word, on one port, until it is closed."""

    def __init__(self, packages: Packages, host: str = "127.0.0.1", port: int = 0):
        self.packages = packages
        self.token = "".join(secrets.choice(LETTERS) for _ in range(8))
        self.tabs: dict[str, Tab] = {}
        self.arrivals: queue.Queue[Tab] = queue.Queue()
        self.is_open = True
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(self))
        except OSError as why:
            fix = "another --port, or 0 for any free one"
            raise DeviceError(
                f"cannot listen on {host}:{port}: {why.strerror or why}", where="browser", fix=fix
            ) from None
        self._server.daemon_threads = True
        self.host, self.port = host, self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def address(self) -> str:
        """Return the address to open: of this machine in its network where the server listens there."""
        host = _own_address() if self.host in ("", "0.0.0.0") else self.host
        return f"http://{host}:{self.port}/{self.token}/"

    def next_tab(self, timeout_s: float, still: Any = None) -> Tab | None:
        """Return the next page that is opened, or None when nobody opened one in time."""
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            if still is not None:
                still()
            try:
                return self.arrivals.get(timeout=min(0.2, left))
            except queue.Empty:
                continue
        return None

    def close(self) -> None:
        """Tell the pages that it is over, and stop listening."""
        self.is_open = False
        self._server.shutdown()
        self._server.server_close()


def _handler(server: PageServer) -> type[BaseHTTPRequestHandler]:
    numbers = count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, query = self._asked()
            if path is None:
                return
            if path.startswith("npm/") and path[4:] in SERVED:
                self._send(server.packages.folder / path[4:])
            elif path in PAGE_FILES or path == "":
                self._send(PAGE / (path or "index.html"))
            elif (tab := self._tab(query)) is None:
                self._say(404, "there is no such thing here; open the address that edgecomp printed")
            elif path == "next":
                self._next(tab)
            elif path == "job" and query.get("id") == tab.job.get("id"):
                self._send(json.dumps(tab.job).encode(), "application/json")
            elif path == "file" and query.get("name") in tab.files:
                self._send_part(tab.files[query["name"]], query)
            else:
                self._say(404, "there is no such thing here; open the address that edgecomp printed")

        def do_POST(self) -> None:
            path, query = self._asked()
            if path is None:
                return
            size = self.headers.get("Content-Length", "0")
            body = self.rfile.read(int(size)) if size.isdigit() and int(size) <= MOST_BODY else None
            if body is None:
                self.close_connection = True
                self._say(413, f"at most {MOST_BODY} bytes are taken")
                return
            try:
                lines = [json.loads(line) for line in body.decode("utf-8").splitlines() if line.strip()]
                taken = self._take(path, query, lines)
            except (ValueError, LookupError, TypeError, AttributeError) as why:
                self._say(400, f"this cannot be read: {why}")
                return
            self._say(200 if taken else 404, "" if taken else "there is no such thing here")

        def _take(self, path: str, query: Mapping[str, str], lines: list[dict[str, Any]]) -> bool:
            if path == "hello":
                tab = Tab(f"page {next(numbers)}", dict(lines[0]))
                server.tabs[query["tab"]] = tab
                server.arrivals.put(tab)
                return True
            tab = self._tab(query)
            if tab is not None and path == "events":
                for line in lines:
                    tab.events.put({**line, "event": str(line["event"]), "id": query["id"]})
                return True
            if tab is not None and path == "gone":
                tab.is_gone = True
                return True
            return False

        def _asked(self) -> tuple[str | None, dict[str, str]]:
            """Return the path behind the secret word and the query; a wrong word is answered here."""
            parts = urlsplit(self.path)
            _, token, *rest = [*parts.path.split("/", 2), "", ""][:3]
            if not hmac.compare_digest(token.encode(), server.token.encode()):
                self.close_connection = True  # what it may have sent is not read
                self._say(403, "This address is not the one that edgecomp printed, or its run is over. Type it again.")
                return None, {}
            return rest[0], {name: values[0] for name, values in parse_qs(parts.query).items()}

        def _tab(self, query: Mapping[str, str]) -> Tab | None:
            tab = server.tabs.get(query.get("tab", ""))
            if tab is not None:
                tab.seen_s = time.monotonic()
            return tab

        def _next(self, tab: Tab) -> None:
            until = time.monotonic() + POLL_S
            while server.is_open and time.monotonic() < until:
                try:
                    job = tab.jobs.get(timeout=0.1)
                except queue.Empty:
                    continue
                self._send(json.dumps(job).encode(), "application/json")
                return
            self._say(204 if server.is_open else 410, "")

        def _send_part(self, content: bytes | Path, query: Mapping[str, str]) -> None:
            whole = content if isinstance(content, bytes) else content.read_bytes()
            first, last = int(query.get("from", 0)), int(query.get("to", len(whole)))
            self._send(whole[first:last], "application/octet-stream")

        def _send(self, content: bytes | Path, kind: str = "") -> None:
            if isinstance(content, Path):
                kind, content = KINDS.get(content.suffix, "application/octet-stream"), content.read_bytes()
            self._answer(200, kind, content)

        def _say(self, status: int, text: str) -> None:
            self._answer(status, "text/plain; charset=utf-8", text.encode())

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
            if status != 204:
                headers["Content-Length"] = str(len(content))
            for name, value in (headers | ISOLATION).items():
                self.send_header(name, value)
            self.end_headers()
            if status != 204:
                self.wfile.write(content)

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError):  # the page was closed while it was being answered
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Write no log: the address holds the secret word."""

    return Handler


def _own_address() -> str:
    """Return this machine's address towards its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: a documentation address
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
