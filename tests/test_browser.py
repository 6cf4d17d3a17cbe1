"""devices/browser: real headless Chromium answers as the host does, is timed, is lost, and says what it lacks."""

import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgecomp.artifact import Artifact
from edgecomp.devices import Device, Effort, ModelFile, browser, open_device
from edgecomp.devices import _browser_packages as npm
from edgecomp.devices._browser_chromium import Chromium, find_chromium
from edgecomp.devices._browser_server import PageServer, Tab
from edgecomp.errors import DeviceError
from edgecomp.portable import runner
from tests.small_bundle import SAMPLES, small_models, write_small_bundle
from tests.small_students import sounds

BUILD = Path(__file__).parents[1] / "build"
PAGE = npm.PAGE


@pytest.fixture(scope="session")
def ready() -> npm.Packages:
    """Return the runtimes for browsers, or skip with the reason."""
    try:
        find_chromium()
        return npm.prepare(BUILD)
    except DeviceError as why:
        pytest.skip(f"no browser to test in: {why.what}")


@pytest.fixture(scope="module")
def chromium(ready):
    with browser.Headless(ready) as device:
        yield device


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, ModelFile]:
    made: dict[str, Artifact] = small_models(tmp_path_factory.mktemp("models"))
    return {form: ModelFile(f"small {form}", one.path, form) for form, one in made.items()}


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return sounds(20, SAMPLES)


def node(script: str) -> object:
    """Run a module script of the page under node and return what it prints as JSON."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], cwd=PAGE, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("form", ["onnx", "tflite"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_browser_answers_as_the_host_does(chromium, models, clips, form, threads):
    with open_device("host") as host:
        wanted = host.answers(models[form], clips)
    found = chromium.answers(models[form], clips, threads)
    assert np.ptp(wanted.probabilities, axis=0).max() > 0.01, "constant answers would agree with anything"
    assert found.probabilities.dtype == np.float32 and found.uncertainty.shape == (20,)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.uncertainty, wanted.uncertainty, atol=1e-5)
    assert re.fullmatch(r"(LiteRT\.js|onnxruntime-web) \d+\.\d+\.\d+", found.runtime)


def test_files_are_timed_in_interleaved_windows(chromium, models, clips):
    effort = Effort(seconds=0.3, windows=5)
    timing = chromium.time(list(models.values()), clips, effort)
    assert timing.lost == "" and len(timing.windows) >= 5 and timing.held == "not pinned"
    for window in timing.windows:
        assert set(window.median_ms) == {"small onnx", "small tflite"}
        assert all(0 < window.median_ms[name] < 1000 for name in window.median_ms)
        assert all(window.runs[name] >= len(window.ms[name]) > 0 for name in window.runs)
    total_s = {name: sum(w.median_ms[name] * w.runs[name] for w in timing.windows) / 1e3 for name in timing.runtimes}
    assert min(total_s.values()) > 0.1, "each file had its time"
    assert [w.at_s for w in timing.windows] == sorted(w.at_s for w in timing.windows)
    assert "performance.now" in timing.clock and "5 µs" in timing.clock, "isolated: the fine clock"


def test_a_start_begins_with_the_page_and_a_fresh_browser(chromium, models):
    before = chromium._chromium._process.pid
    (start,) = chromium.starts(models["tflite"], SAMPLES, starts=1)
    assert chromium._chromium._process.pid != before
    assert 0 < start.load_ms < start.cold_ms < 60_000
    heap, process = start.memory["page_heap_bytes"], start.memory["page_process_bytes"]
    assert models["tflite"].path.stat().st_size < heap < process < 1e9 and heap % 65_536 == 0, (
        "whole pages of WebAssembly"
    )
    assert "WebAssembly heap" in start.reason and "kernel" in start.reason


def test_every_webassembly_memory_that_comes_to_be_is_counted():
    told = node("""
      import { watchHeap } from "./facts.js";
      const bytes = watchHeap();
      const exporting = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 3, 7, 5, 1, 1, 109, 2, 0]);
      const before = bytes();
      const { instance } = await WebAssembly.instantiate(exporting);
      const three = bytes();
      instance.exports.m.grow(2);
      const importing = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 2, 8, 1, 1, 101, 1, 109, 2, 0, 1]);
      await WebAssembly.instantiate(await WebAssembly.compile(importing), { e: { m: new WebAssembly.Memory({ initial: 1 }) } });
      console.log(JSON.stringify([before, three, bytes()].map((one) => one / 65536)));
    """)
    assert told == [0, 3, 6]


def test_the_browser_says_what_it_is(chromium):
    told = chromium.describe()
    assert isinstance(chromium, Device) and chromium.how == "measured"
    assert re.fullmatch(r"browser \((Chromium|Google Chrome) \d+ headless on host \(.+ cores?\)\)", chromium.name)
    assert told["name"] == chromium.name and told["simd"] and told["isolated"] and told["threads"]
    assert "Chrome/" in told["user_agent"] and told["cores"] >= 1 and told["soc"] is None


def test_a_damaged_file_and_a_wrong_length_are_refused_with_words(chromium, models, clips, tmp_path):
    for form, model in models.items():
        broken = tmp_path / f"broken{model.path.suffix}"
        broken.write_bytes(model.path.read_bytes()[:3000])
        with pytest.raises(DeviceError, match=f"this {form} file cannot be loaded"):
            chromium.answers(ModelFile("broken", broken, form), clips)
    with pytest.raises(DeviceError, match=r"the model takes 4000 samples and the clips have 3000"):
        chromium.answers(models["tflite"], clips[:, :3000])
    assert len(chromium.answers(models["tflite"], clips[:1]).uncertainty) == 1, "and it still works"


def test_another_runtimes_file_and_a_delegate_are_refused_before_any_work(chromium, models, clips, tmp_path):
    with pytest.raises(DeviceError, match="no runtime in a browser for 'executorch'") as caught:
        chromium.time([ModelFile("other", tmp_path / "model.pte", "executorch")], clips, Effort())
    assert "onnx, tflite" in str(caught.value)
    with pytest.raises(DeviceError, match="a browser has no delegate 'none'"):
        chromium.answers(models["tflite"], clips, delegate="none")


def test_a_browser_that_ends_in_mid_run_leaves_its_windows(ready, models, clips, monkeypatch):
    with browser.Headless(ready) as device:

        def killing(events, told, noting=browser._noting):
            for event in noting(events, told):
                yield event
                if event.get("window") == 2:
                    device._chromium._process.kill()

        monkeypatch.setattr(browser, "_noting", killing)
        timing = device.time([models["tflite"]], clips, Effort(seconds=20, windows=100))
        assert 3 <= len(timing.windows) < 100
        assert "Chromium ended with -9" in timing.lost
        with pytest.raises(DeviceError, match="Chromium ended"):
            device.answers(models["tflite"], clips)


def test_a_browser_without_simd_is_told_so(ready, models, clips):
    flags = ("--js-flags=--no-enable-sse4-1 --no-enable-ssse3",)  # V8 then has no vectors to run it on
    with browser.Headless(ready, flags) as device:
        if device.describe()["simd"]:
            pytest.skip("this Chromium keeps SIMD in spite of the flags (not x86)")
        with pytest.raises(DeviceError, match="cannot run models: its WebAssembly has no SIMD; use Chrome 91"):
            device.answers(models["tflite"], clips)


def test_a_missing_wasm_is_told_as_well():
    said = node(
        "import {canDo} from './facts.js';"
        "console.log(JSON.stringify([canDo({}), canDo({WebAssembly, crossOriginIsolated: false})]))"
    )
    assert said[0]["missing"] == "it has no WebAssembly" and said[1] == {"simd": True, "threads": False, "missing": ""}


@pytest.fixture
def server(ready):
    made = PageServer(ready)
    yield made
    made.close()


def ask(server: PageServer, path: str, content: object = None, token: str | None = None) -> tuple[int, str, dict]:
    """Ask the server as a page does."""
    body = None if content is None else (content if isinstance(content, bytes) else json.dumps(content).encode())
    url = f"http://127.0.0.1:{server.port}/{server.token if token is None else token}/{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=20) as answer:
            return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers)
    except urllib.error.HTTPError as why:
        return why.code, why.read().decode(), dict(why.headers)


def test_nothing_is_told_without_the_secret_word(server):
    for token in ("", "wrong234", server.token[:-1], server.token + "x"):
        for path in ("", "next?tab=1", "npm/ort/ort.wasm.min.mjs"):
            status, said, _ = ask(server, path, token=token)
            assert status == 403 and "not the one that edgecomp printed" in said
    assert ask(server, "hello?tab=1", {}, token="wrong234")[0] == 403
    assert server.tabs == {}


def test_only_the_pages_files_are_served(server):
    assert ask(server, "")[0] == 200 and ask(server, "job.html")[2]["Cross-Origin-Embedder-Policy"] == "require-corp"
    for path in (
        "package.json",
        "../package.json",
        "npm/../prepared.json",
        "npm/prepared.json",
        "%2e%2e/x",
        "file?name=a",
    ):
        assert ask(server, path)[0] == 404, path


def test_what_no_page_sends_is_refused_and_harms_nothing(server):
    ask(server, "hello?tab=a", {"user_agent": "test"})
    tab = server.next_tab(1)
    for path, content in (
        ("hello?tab=b", b""),
        ("hello", {}),
        ("events?tab=a", {"event": "x"}),
        ("events?tab=a&id=1", b"{"),
    ):
        assert ask(server, path, content)[0] == 400, path
    assert ask(server, "events?tab=a&id=1", [])[0] == 400 and ask(server, "events?tab=nobody&id=1", {})[0] == 404
    assert tab.events.empty() and not tab.is_gone


def test_a_page_that_is_closed_in_mid_run_says_so_and_keeps_what_came(server, models):
    ask(server, "hello?tab=a", {"user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/142.0"})
    device = browser.Visitor(server.next_tab(1), {}, None)
    window = {"event": "window", "at_s": 0.1, "taken": {"m": {"median_ms": 1.0, "runs": 1, "ms": [1.0]}}}

    def page():
        job = json.loads(ask(server, "next?tab=a")[1])
        ask(server, f"events?tab=a&id={job['id']}", {"event": "loaded", "name": "m", "runtime": "R"})
        ask(server, "events?tab=a&id=another", {"event": "window"})
        ask(server, f"events?tab=a&id={job['id']}", window)
        ask(server, "gone?tab=a", b"")

    threading.Thread(target=page, daemon=True).start()
    timing = device.time([models["tflite"]], np.zeros((1, 10), np.float32), Effort())
    assert len(timing.windows) == 1 and timing.windows[0].median_ms == {"m": 1.0}
    assert "the page was closed or reloaded" in timing.lost and "Firefox 142 on X11; Linux x86_64" in timing.lost


def test_a_silent_page_is_given_up(server, monkeypatch):
    monkeypatch.setattr("edgecomp.devices._browser_server.SILENCE_S", 0.2)
    ask(server, "hello?tab=a", {})
    tab = server.next_tab(1)
    with pytest.raises(DeviceError, match=r"no sign of life for 0\.2 s"):
        list(tab.run({"job": "latency"}, {}))


def test_somebody_elses_browser_is_a_device(ready, models, clips, monkeypatch):
    opened = []

    def visit(line: str) -> None:
        if (found := re.search(r"http://\S+", line)) is not None:
            address = re.sub(r"//[^:/]+:", "//localhost:", found[0])
            opened.append(Chromium(address))

    monkeypatch.setattr(browser, "say", visit)
    monkeypatch.setattr(browser, "packages", lambda cache: ready)
    try:
        with open_device("browser:open") as device:
            assert re.match(r"browser \(Headless Chrome \d+ on X11; Linux x86_64, by its own account\)", device.name)
            assert device.answers(models["tflite"], clips[:2]).probabilities.shape == (2, 3)
            assert device.starts(models["tflite"], SAMPLES, starts=2)[1].cold_ms > 0
    finally:
        for one in opened:
            one.close()


def test_nobody_came_is_said_with_the_address(ready, monkeypatch):
    monkeypatch.setattr(browser, "OPEN_S", 0.3)
    monkeypatch.setattr(browser, "packages", lambda cache: ready)
    with pytest.raises(DeviceError, match=r"nobody opened the address within 0\.3 s") as caught:
        open_device("browser:open")
    assert re.search(r"http://[\d.]+:\d+/[2-9a-z]{8}/", str(caught.value))


def test_an_unknown_argument_lists_those_allowed():
    with pytest.raises(DeviceError, match="got 'firefox'") as caught:
        open_device("browser:firefox")
    assert "browser:open" in str(caught.value)


def test_what_lacks_is_named_with_its_remedy(tmp_path, monkeypatch):
    with pytest.raises(DeviceError, match="not prepared") as caught:
        open_device("browser", tmp_path)
    assert "edgecomp devices prepare browser" in str(caught.value)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match="npm is not installed"):
        browser.prepare(tmp_path)
    with pytest.raises(DeviceError, match="no Chromium here: none of chromium, "):
        find_chromium()


def test_an_unfinished_or_older_folder_is_not_taken_for_prepared(ready, tmp_path):
    folder = tmp_path / "devices" / "browser"
    folder.mkdir(parents=True)
    for served in npm.SERVED:
        (folder / served).parent.mkdir(parents=True, exist_ok=True)
        (folder / served).write_bytes(b"")
    seal = json.loads((ready.folder / npm.SEAL).read_text())
    (folder / npm.SEAL).write_text(json.dumps(seal))
    assert npm.packages(tmp_path).versions == ready.versions
    for wrong in (json.dumps({**seal, "lock": "older"}), "{", "[]"):
        (folder / npm.SEAL).write_text(wrong)
        with pytest.raises(DeviceError, match="not prepared"):
            npm.packages(tmp_path)
    (folder / npm.SEAL).write_text(json.dumps(seal))
    (folder / "litert/index.js").unlink()
    with pytest.raises(DeviceError, match="not prepared"):
        npm.packages(tmp_path)


def test_npm_that_fails_leaves_nothing_and_gives_its_last_words(tmp_path, monkeypatch):
    fake = tmp_path / "npm"
    fake.write_text("#!/bin/sh\necho 'npm error network is down' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))
    with pytest.raises(DeviceError, match="npm ci failed: npm error network is down"):
        browser.prepare(tmp_path / "build")
    assert [p.name for p in (tmp_path / "build" / "devices").iterdir() if not p.name.endswith(".lock")] == []


def test_the_page_plans_windows_as_the_runner_does():
    cases = [
        ({"seconds": s, "windows": w, "sustained_s": u}, {"a": a, "b": b})
        for s in (0.3, 10)
        for w in (3, 10)
        for u in (0, 600)
        for a, b in ((0.0001, 0.5), (0.00037, 0.002), (3.0, 0.04))
    ]
    said = node(
        "import {schedule} from './timing.js';"
        f"console.log(JSON.stringify({json.dumps(cases)}.map(([job, typical]) => schedule(job, typical))))"
    )
    for (job, typical), found in zip(cases, said, strict=True):
        windows, repeats = runner._schedule(job, typical)
        assert found["windows"] == windows
        assert all(abs(found["repeats"][one] - repeats[one]) <= 0.5 for one in typical), "they round halves differently"


def test_a_coarse_clock_is_read_over_several_runs():
    said = node(
        "import {batchOf, median, thinned, seeded, shuffled} from './timing.js';"
        "import {clockStepMs} from './facts.js'; let ticks = 0; const coarse = () => Math.floor(ticks++ / 7) * 0.1;"
        "const readings = Array.from({length: 1001}, (_, n) => n); const random = seeded(3);"
        "console.log(JSON.stringify({batches: [batchOf(0.3, 0.005), batchOf(0.3, 0.1), batchOf(50, 0.1)],"
        " step: clockStepMs(coarse), median: [median([3, 1, 2]), median([4, 1, 2, 3])], kept: thinned(readings).length,"
        " orders: [...new Set(Array.from({length: 200}, () => shuffled(['a', 'b', 'c'], random).join('')))].length}))"
    )
    assert said == {"batches": [1, 17, 1], "step": 0.1, "median": [2, 2.5], "kept": 334, "orders": 6}


@pytest.mark.parametrize(
    "agent, short",
    [
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
            "Chrome 142 on Linux; Android 10; K",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile Safari/604.1",
            "Safari 18 on iPhone; CPU iPhone OS 18_1 like Mac OS X",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-A055F) SamsungBrowser/27.0 Chrome/125.0",
            "Samsung Internet 27 on Linux; Android 13; SAMSUNG SM-A055F",
        ),
        ("curl/8", "curl/8"),
    ],
)
def test_a_visitor_goes_by_what_it_says_of_itself(agent, short):
    assert browser.Visitor(Tab("page 1", {"user_agent": agent}), {}).name == f"browser ({short}, by its own account)"


def test_bundles_are_benched_in_the_browser_that_comes_and_the_lines_are_kept(ready, tmp_path, monkeypatch):
    from edgecomp.cli import app
    from edgecomp.results import read_results

    bundle, opened = write_small_bundle(tmp_path / "small"), []
    monkeypatch.setattr(
        browser, "say", lambda line: opened.append(Chromium(line.split()[-1])) if "http" in line else None
    )
    monkeypatch.setattr(browser, "packages", lambda cache: ready)
    given = ["devices", "serve", str(bundle), "--host", "127.0.0.1", "--wait", "3", "--seconds", "0.05"]
    try:
        done = CliRunner().invoke(app, [*given, "--results", str(tmp_path / "results.jsonl")])
    finally:
        for one in opened:
            one.close()
    assert done.exit_code == 0, done.output
    rows = read_results(tmp_path / "results.jsonl")
    assert {row.name for row in rows} >= {"device", "golden_difference", "latency_p50", "cold_start"}
    assert all("by its own account" in row.device and row.how == "measured" for row in rows)
    assert all(row.within() for row in rows if row.name == "golden_difference")


def test_what_is_missing_is_listed(ready, tmp_path):
    assert browser.missing(BUILD) == "" and "not prepared" in browser.missing(tmp_path)
