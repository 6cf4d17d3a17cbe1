"""A browser as a device: headless Chromium here, or whichever browser somebody opens the page in, such as a phone's.

The page runs LiteRT.js and onnxruntime-web as WebAssembly, on one thread or, where it is cross-origin isolated, several.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgecomp.devices import (
    Answers,
    Effort,
    How,
    ModelFile,
    Start,
    Timing,
    _browser_names,
    gather_starts,
    lines_to_answers,
    lines_to_timing,
)
from edgecomp.devices._browser_chromium import Chromium, find_chromium, version
from edgecomp.devices._browser_packages import Packages, packages
from edgecomp.devices._browser_packages import prepare as prepare_packages
from edgecomp.devices._browser_server import PageServer, Tab
from edgecomp.errors import DeviceError, nearest
from edgecomp.progress import say

NEEDS = "Node.js with npm, and Chromium or any browser that opens the page; prepared once, 45 MB"
FORMS = ("onnx", "tflite")
OPEN_S = 300.0
"""How long `browser:open` waits for somebody to open the address."""
START_S = 60.0
"""How long a Chromium of this machine may take to open the page."""
MEMORY = "after the first answer: the runtime's WebAssembly heap, which holds the model too; and, of a Chromium of this machine, "
MEMORY += "what the kernel counts of the page's process, memory shared with others in equal parts"


class Browser:
    """A page in a browser that does jobs.

    tab:   the page
    name:  the browser's name
    """

    how: ClassVar[How] = "measured"
    forms: tuple[str, ...] = FORMS

    def __init__(self, tab: Tab, versions: Mapping[str, str], name: str):
        self.tab, self.versions, self.name = tab, dict(versions), name
        tab.name = name

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> dict[str, Any]:
        """Say what the browser says of itself; what a page may not know is None."""
        told = self.tab.facts
        known = {
            "model": told.get("model"),
            "cores": told.get("cores"),
            "isa": told.get("isa"),
            "os": told.get("platform"),
        }
        unknown = dict.fromkeys(("soc", "cpu", "features", "governor", "temperature_c", "free_bytes"))
        return {
            **unknown,
            **known,
            **told,
            "os": known["os"] or _browser_names.system(str(told.get("user_agent"))),
            "name": self.name,
        }

    def answers(self, model: ModelFile, clips: np.ndarray, threads: int = 1, delegate: str = "default") -> Answers:
        """Run every clip, (n, samples) float32."""
        job = self._job("answers", threads, delegate, clips.shape[1])
        job |= {"clips": _clips(clips), "model": {"file": "model", "form": self._form(model)}}
        return lines_to_answers(self._run(job, {"model": model.path, "clips": _raw(clips)}), len(clips), self.name)

    def time(self, models: list[ModelFile], clips: np.ndarray, effort: Effort) -> Timing:
        """Time some files in one interleaved run in one page; what came before the page was lost is kept."""
        job = self._job("latency", effort.threads, effort.delegate, clips.shape[1])
        job |= {name: getattr(effort, name) for name in ("seconds", "windows", "warmup", "sustained_s", "seed")}
        names = {f"model{row}": one for row, one in enumerate(models)}
        job["models"] = {one.name: {"file": file, "form": self._form(one)} for file, one in names.items()}
        job["clips"] = _clips(clips)
        told: dict[str, Any] = {}
        events = self._run(job, {**{file: one.path for file, one in names.items()}, "clips": _raw(clips)})
        timing = lines_to_timing(_noting(events, told), effort, "")
        return replace(timing, clock=_clock(told))

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Load page, runtime and model anew several times: from the page's navigation to its first answer."""
        return gather_starts((self._one_start(model, samples, threads) for _ in range(starts)), starts)

    def close(self) -> None:
        """Let go of the page."""

    def _one_start(self, model: ModelFile, samples: int, threads: int) -> Start:
        job = self._job("start", threads, "default", samples) | {"seed": 0}
        job["model"] = {"file": "model", "form": self._form(model)}
        held, start = {}, {}
        for start in self._run(job, {"model": model.path}):
            held = {"page_heap_bytes": start["heap_bytes"], "page_process_bytes": self._process_bytes()}
        held = {name: size for name, size in held.items() if size}
        return Start(start["cold_ms"], start["load_ms"], held, MEMORY)

    def _process_bytes(self) -> int | None:
        """Return what the page's process holds as its machine counts it; None where that is not this one."""
        return None

    def _form(self, model: ModelFile) -> str:
        if model.form not in self.forms:
            fix = nearest(model.form, self.forms)
            raise DeviceError(f"no runtime in a browser for {model.form!r} ({model.name})", where=self.name, fix=fix)
        return model.form

    def _job(self, job: str, threads: int, delegate: str, samples: int) -> dict[str, Any]:
        if delegate != "default":
            fix = "allowed: default, which is XNNPACK in LiteRT.js and the WebAssembly provider in onnxruntime-web"
            raise DeviceError(f"a browser has no delegate {delegate!r}", where=self.name, fix=fix)
        return {"job": job, "threads": threads, "samples": samples, "versions": self.versions}

    def _run(self, job: dict[str, Any], files: Mapping[str, bytes | Path]) -> Iterator[dict[str, Any]]:
        return self.tab.run(job, files)


class Headless(Browser):
    """Chromium of this machine without a window, with its own server; every start of it has a fresh profile."""

    def __init__(self, ready: Packages, flags: tuple[str, ...] = ()):
        self._flags, self._versions = flags, ready.versions
        told = version(find_chromium())
        self._server = PageServer(ready)
        try:
            self._open(f"browser ({_browser_names.short(told)} headless on {_browser_names.host()})")
        except DeviceError:
            self._server.close()
            raise

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Start fresh browsers, and time the page in each: from its navigation to the first answer."""
        return gather_starts((self._fresh_start(model, samples, threads) for _ in range(starts)), starts)

    def close(self) -> None:
        """End the browser and the server."""
        self._chromium.close()
        self._server.close()

    def _open(self, name: str) -> None:
        self._chromium = Chromium(self._server.address, self._flags)
        try:
            tab = self._server.next_tab(START_S, self._chromium.check)
            if tab is None:
                raise DeviceError(f"Chromium did not open the page within {START_S:g} s", where=name, fix="try again")
        except DeviceError:
            self._chromium.close()
            raise
        super().__init__(tab, self._versions, name)

    def _fresh_start(self, model: ModelFile, samples: int, threads: int) -> Start:
        self._chromium.close()
        self._open(self.name)
        return self._one_start(model, samples, threads)

    def _process_bytes(self) -> int | None:
        return self._chromium.page_pss_bytes()

    def _run(self, job: dict[str, Any], files: Mapping[str, bytes | Path]) -> Iterator[dict[str, Any]]:
        return self.tab.run(job, files, self._chromium.check)


class Visitor(Browser):
    """A browser that somebody opened the address in; it owns the server where it is the only visitor."""

    def __init__(self, tab: Tab, versions: Mapping[str, str], server: PageServer | None = None):
        super().__init__(tab, versions, f"browser ({_browser_names.browser(str(tab.facts.get('user_agent')))})")
        self._server = server

    def close(self) -> None:
        """Tell the page that it is over."""
        if self._server is not None:
            self._server.close()


def open_device(argument: str, cache: Path) -> Browser:
    """Open headless Chromium, or with "open" serve the page and wait for somebody to open it.

    raises: DeviceError where the runtimes are not prepared, there is no Chromium, or nobody opened the address
    """
    if argument not in ("", "open"):
        fix = "--on browser (Chromium here), or --on browser:open (any browser that opens the printed address)"
        raise DeviceError(
            f"browser takes nothing or 'open' after the colon, and got {argument!r}", where="--on", fix=fix
        )
    ready = packages(cache)
    if argument == "":
        return Headless(ready)
    server = PageServer(ready, "0.0.0.0")
    try:
        return next(_visitors(server, ready, OPEN_S, owned=True))
    except BaseException:
        server.close()
        raise


def prepare(cache: Path) -> Path:
    """Install the runtimes for browsers in the build folder, from the lock file; returns where they lie."""
    return prepare_packages(cache).folder


def missing(cache: Path) -> str:
    """Say what is not ready yet; empty where nothing is."""
    try:
        packages(cache)
        find_chromium()
    except DeviceError as why:
        return why.what
    return ""


def visitors(cache: Path, host: str = "0.0.0.0", port: int = 0, wait_s: float = OPEN_S) -> Iterator[Browser]:
    """Serve the page, say its address, and yield every browser that opens it, until none comes for wait_s.

    raises: DeviceError where nobody opens it at all
    """
    ready = packages(cache)
    server = PageServer(ready, host, port)
    try:
        yield from _visitors(server, ready, wait_s)
    finally:
        server.close()


def _visitors(server: PageServer, ready: Packages, wait_s: float, owned: bool = False) -> Iterator[Browser]:
    say(
        f"open this address in the browser to measure (same network; it works until this command ends):\n  {server.address}"
    )
    came = 0
    while (tab := server.next_tab(wait_s)) is not None:
        came += 1
        if tab.facts.get("missing"):
            say(f"a browser came that cannot run models: {tab.facts['missing']}")
            continue
        visitor = Visitor(tab, ready.versions, server if owned else None)
        say(f"{visitor.name} is here")
        yield visitor
    if came == 0 or owned:
        raise DeviceError(
            f"nobody opened the address within {wait_s:g} s",
            where=server.address,
            fix="open it on the device, in the same network and past its firewall, and keep this command running",
        )


def _noting(events: Iterator[dict[str, Any]], told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for event in events:
        if event["event"] == "planned":
            told |= event
        yield event


def _clock(told: Mapping[str, Any]) -> str:
    if not told:
        return "performance.now"
    step, batch = told["clock_step_ms"], max(told["batch"].values())
    spans = "every run" if batch == 1 else f"every {batch} runs or fewer, so that a step is at most 2 % of a reading"
    return f"performance.now around {spans}, on the page's main thread; the clock's steps are {step * 1e3:g} µs"


def _clips(clips: np.ndarray) -> dict[str, Any]:
    return {"file": "clips", "count": len(clips), "samples": clips.shape[1]}


def _raw(clips: np.ndarray) -> bytes:
    if sys.byteorder != "little":
        clips = clips.astype("<f4")
    return np.ascontiguousarray(clips, np.float32).tobytes()
