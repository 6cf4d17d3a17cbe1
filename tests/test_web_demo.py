"""The demo page in a real Chromium: it hears a microphone, answers as `edgecomp run`, works offline, and says what is wrong."""

import gzip
import http.client
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from edgecomp import demo
from edgecomp.artifact import content_hash
from edgecomp.bundle import read_bundle
from edgecomp.errors import EdgecompError
from tests import web_page
from tests.shared_data import shared_data
from tests.small_bundle import RATE, write_small_bundle
from tests.small_form import FORM, GIVEN

FORMS = ("tflite", "onnx")
MOST_PAGE_BYTES = 150_000
DAMAGES = ("model/facts.json", "model/model.tflite", "model/golden/00.f32")
RESAMPLED = 0.01
"""Largest difference of a probability where the page resamples by its own filter, and `edgecomp run` by soxr's."""
ASK_ABOVE = 0.0108
"""Asks about half of the real clips; the two nearest to it are 5e-4 away."""
EQUAL = 1e-5
"""Largest difference where nothing is resampled; the history keeps six places."""


@pytest.fixture(scope="session")
def tools() -> Path:
    """Return the page's folder, or skip with the reason."""
    try:
        return web_page.tools()
    except EdgecompError as why:
        pytest.skip(f"no browser to see the page in: {why.what}")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "sounds-anything"
    return read_bundle(write_small_bundle(folder, deferral={"rule": "uncertainty", "ask_above": ASK_ABOVE}))


@pytest.fixture(scope="module")
def sites(tools, bundle, tmp_path_factory):
    """Return the built folders by format."""
    return {
        form: demo.build_demo(bundle, tmp_path_factory.mktemp(form) / "site", cache=web_page.BUILD, form=form)
        for form in FORMS
    }


@pytest.fixture(scope="module")
def servers(sites):
    made = {form: demo.DemoServer(site) for form, site in sites.items()}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> list[Path]:
    """Return 200 real clips at the bundle's own rate, as WAV files."""
    folder, made = tmp_path_factory.mktemp("spoken"), []
    clips = sorted(file for file in (shared_data("fsdd") / "audio").rglob("*.*"))
    for row, clip in enumerate(clips[:: len(clips) // 200][:200]):
        wave, rate = soundfile.read(clip, dtype="float32")
        made.append(folder / f"{row:03d}.wav")
        soundfile.write(made[-1], wave, rate, subtype="FLOAT")
    assert len(made) == 200
    return made


@pytest.fixture(scope="module")
def other_rates(tmp_path_factory) -> list[Path]:
    """Return real clips of another rate, of one or two channels and in several formats."""
    folder, made = tmp_path_factory.mktemp("others"), []
    for row, clip in enumerate(sorted(shared_data("wakewords").rglob("*.flac"))[::150][:8]):
        wave, rate = soundfile.read(clip, dtype="float32")
        made.append(folder / f"{row}.wav")
        kind = ("PCM_16", "PCM_24", "FLOAT")[row % 3]
        soundfile.write(made[-1], np.stack([wave, 0.5 * wave], 1) if row % 2 else wave, rate, subtype=kind)
    return made


@pytest.fixture(scope="module")
def answered(tools, servers, spoken, other_rates) -> dict[str, dict[Path, dict]]:
    """Give the page all of those files: with LiteRT.js all of them, with onnxruntime-web every fifth of the first."""
    clips = {"tflite": [*spoken, *other_rates], "onnx": spoken[::5]}
    seen = {form: web_page.visit(tools, "files", servers[form].address, clips=clips[form]) for form in FORMS}
    return {form: dict(zip(clips[form], one["rows"], strict=True)) for form, one in seen.items()}


@pytest.fixture(scope="module")
def toured(tools, servers, bundle, spoken, tmp_path_factory):
    """Visit every screen once, with a real clip at the microphone, one whose label is clear."""
    session = bundle.session()
    clip = min(spoken, key=lambda one: session(bundle.read_clip(one)).uncertainty)
    wave, rate = soundfile.read(clip, dtype="float32")
    heard = web_page.write_microphone(tmp_path_factory.mktemp("microphone") / "heard.wav", wave, rate)
    return web_page.visit(tools, "tour", servers["tflite"].address, clip=heard)


def told_by_run(bundle, clip: Path, form: str = "tflite") -> dict:
    """Return what `edgecomp run --json` says of a clip."""
    from edgecomp.cli import app

    done = CliRunner().invoke(app, ["run", str(bundle.folder), str(clip), "--format", form, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def apart(row: dict, wanted: dict) -> float:
    figures = [abs(row["probabilities"][name] - p) for name, p in wanted["probabilities"].items()]
    return max(*figures, abs(row["uncertainty"] - wanted["uncertainty"]))


def test_no_screen_has_a_serious_accessibility_issue(toured):
    assert [one["id"] for one in toured["found"].pop("planted")] == ["button-name"], "axe sees an issue that is there"
    serious = {
        screen: [one for one in issues if one["impact"] in ("serious", "critical")]
        for screen, issues in toured["found"].items()
    }
    assert len(serious) >= 4 and not any(serious.values()), serious


def test_what_the_microphone_hears_is_answered_as_edgecomp_run_answers_it(toured, bundle, tmp_path):
    rate, entry = toured["tapped"]["rate"], toured["row"]
    seconds = bundle.facts["preprocessing"]["samples"] / RATE + 1
    wave = np.array(toured["tapped"]["wave"], np.float32)[: round(seconds * rate)]
    assert np.abs(wave).max() > 0.01, "the fake microphone was heard"
    soundfile.write(tmp_path / "heard.wav", wave, rate, subtype="FLOAT")
    wanted = told_by_run(bundle, tmp_path / "heard.wav")
    assert apart(entry["row"], wanted) < RESAMPLED
    assert entry["row"]["label"] == wanted["label"]
    assert entry["row"]["ask"] == (entry["row"]["uncertainty"] > ASK_ABOVE) and entry["dropped"] == 0
    kind = "Ask" if entry["row"]["ask"] else "Answer"
    assert toured["said"].startswith(f"{kind}\n") and wanted["label"] in toured["said"]


def test_the_page_is_isolated_private_and_without_errors(toured):
    assert toured["isolated"] is True, "threads may be used"
    assert toured["errors"] == [] and toured["foreign"] == []
    assert toured["isFocused"] is True, "a screen reader is brought to the result"
    assert toured["level"].endswith("dB, Good")
    assert "Self-test passed: largest difference" in toured["footer"] and "(3 recordings)" in toured["footer"]


@pytest.mark.parametrize("form", FORMS)
def test_200_real_clips_are_decided_as_by_the_bundle(answered, bundle, spoken, form):
    session, decided = bundle.session(form), {True: 0, False: 0}
    for clip in spoken if form == "tflite" else spoken[::5]:
        row, answer = answered[form][clip]["row"], session(bundle.read_clip(clip))
        wanted = dict(zip(bundle.labels, answer.probabilities.tolist(), strict=True))
        assert apart(row, {"probabilities": wanted, "uncertainty": answer.uncertainty}) <= EQUAL
        assert row["label"] == bundle.label(answer.probabilities)
        assert row["ask"] == bundle.asks(answer.uncertainty)
        decided[row["ask"]] += 1
    assert min(decided.values()) > 0, "some are answered and some asked about"


def test_recordings_of_other_rates_and_channels_are_answered_alike(answered, bundle, other_rates):
    differences = [apart(answered["tflite"][file]["row"], told_by_run(bundle, file)) for file in other_rates]
    assert len(differences) == 8 and max(differences) < RESAMPLED, differences


def test_the_page_works_without_a_network_and_keeps_its_history_on_the_device(tools, servers, bundle, spoken):
    seen = web_page.visit(tools, "offline", servers["tflite"].address, clips=spoken[:1])
    assert seen["reached"] is False, "the network was off"
    assert apart(seen["row"]["row"], told_by_run(bundle, spoken[0])) <= EQUAL
    assert (seen["kept"], seen["left"]) == (1, 0)
    assert seen["installable"] == {
        "name": "edgecomp: sounds",
        "display": "standalone",
        "sizes": ["192x192", "512x512", "any"],
    }
    assert "Ready to be used without a network" in seen["footer"]


def test_a_new_version_waits_until_it_is_taken(tools, sites, tmp_path):
    served = shutil.copytree(sites["tflite"], tmp_path / "site")
    with demo.DemoServer(served) as server:
        seen = web_page.visit(tools, "update", server.address, served=served, next=sites["onnx"])
    assert (seen["held"], seen["now"]) == ("model.tflite", "model.onnx")
    assert len(seen["before"]) == len(seen["after"]) == 1 and seen["before"] != seen["after"]
    assert seen["errors"] == []


@pytest.fixture(scope="module")
def refused(tools, servers) -> list[dict]:
    """Visit with one file damaged each, and at last with all whole; the microphone is not allowed."""
    return web_page.visit(tools, "blocked", servers["tflite"].address, damages=[*DAMAGES, ""])["said"]


def test_a_damaged_file_is_said_and_nothing_can_be_recorded(refused):
    for damage, said in zip(DAMAGES, refused[:-1], strict=True):
        why = f"{damage.removeprefix('model/')} is damaged or was changed (SHA-256 "
        assert "This device cannot be used" in said["why"] and why in said["why"] and not said["ready"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", ["empty", "cut", "another format"])
def test_a_model_that_is_none_is_said_even_where_its_hash_is_right(form, damage, tools, bundle, tmp_path):
    from tests.test_embed import rewrite

    folder = shutil.copytree(bundle.folder, tmp_path / "sounds-anything")
    models = bundle.facts["models"]
    file, other = (folder / models[one]["file"] for one in (form, next(one for one in FORMS if one != form)))
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2]}.get(damage, other.read_bytes()))
    digest = content_hash(file)
    damaged = rewrite(
        folder,
        models=models | {form: models[form] | {"sha256": digest}},
        files=bundle.facts["files"] | {file.name: digest},
    )
    site = demo.build_demo(damaged, tmp_path / "site", cache=web_page.BUILD, form=form)
    with demo.DemoServer(site) as server:
        (said,) = web_page.visit(tools, "blocked", server.address)["said"]
    assert not said["ready"] and "This device cannot be used" in said["why"]
    assert f"model.{form} cannot be opened" in said["why"]


def test_a_microphone_that_is_not_allowed_is_said_with_its_remedy(refused):
    said = refused[-1]
    assert said["ready"] and "The microphone is not allowed. Allow it in the browser's settings" in said["why"]


def test_a_browser_without_simd_is_told_which_ones_have_it(tools, servers):
    flags = ["--js-flags=--no-enable-sse4-1 --no-enable-ssse3"]  # V8 then has no vectors to run it on
    (said,) = web_page.visit(tools, "blocked", servers["tflite"].address, flags=flags)["said"]
    if said["ready"]:
        pytest.skip("this Chromium keeps SIMD in spite of the flags (not x86)")
    assert "this browser's WebAssembly has no SIMD; use Chrome 91, Firefox 89, Safari 16.4 or newer" in said["why"]


def test_the_page_is_small_beside_runtime_and_model(sites):
    for form, site in sites.items():
        own = [f for f in site.rglob("*") if f.is_file() and f.relative_to(site).parts[0] not in ("runtime", "model")]
        total = sum(len(gzip.compress(file.read_bytes(), 9)) for file in own)
        assert 10_000 < total <= MOST_PAGE_BYTES, (form, total)


def get(server: demo.DemoServer, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.address.split(":")[2].strip("/")), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


def test_the_server_gives_the_page_alone_with_the_headers_of_isolation(servers):
    server = servers["tflite"]
    page = get(server, "/")
    assert page.status == 200 and page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert get(server, "/runtime/litert_wasm_internal.wasm").headers["Content-Type"] == "application/wasm"
    assert get(server, "/manifest.webmanifest").headers["Content-Type"] == "application/manifest+json"
    for path in ("/model/", "/../site/index.html/..", "/%2e%2e/%2e%2e/etc/passwd", "/nothing"):
        assert get(server, path).status == 404, path
    with pytest.raises(demo.DemoError, match="cannot listen on 127"):
        demo.DemoServer(Path("."), port=int(server.address.split(":")[2].strip("/")))


def test_a_folder_of_the_users_own_is_not_replaced(bundle, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(demo.DemoError, match="something of your own lies where the page goes"):
        demo.build_demo(bundle, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_missing_node_is_named_with_its_remedy(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(demo.DemoError, match="npm is not installed") as caught:
        demo.build_demo(bundle, tmp_path / "site", cache=tmp_path)
    assert "Node.js" in str(caught.value)


def test_the_command_builds_the_folder(tools, bundle, tmp_path):
    from edgecomp.cli import app, serve_demo  # noqa: F401, it adds its command to the app

    given = ["serve-demo", str(bundle.folder), "--build-only", "--out", str(tmp_path / "site")]
    done = CliRunner().invoke(app, [*given, "--build", str(web_page.BUILD)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "site")
    assert json.loads((tmp_path / "site" / "model" / "facts.json").read_text())["labels"] == bundle.labels


@pytest.fixture(scope="module")
def asking(tools, spoken, tmp_path_factory):
    """Visit a bundle that has a form, and fill it in for two people by keyboard: as GIVEN, and otherwise."""
    folder = tmp_path_factory.mktemp("asking")
    bundle = read_bundle(write_small_bundle(folder / "sounds-anything", form=FORM))
    site = demo.build_demo(bundle, folder / "site", cache=web_page.BUILD)
    heard = web_page.write_microphone(folder / "heard.wav", *soundfile.read(spoken[0], dtype="float32"))
    answers = [["Space"], ["ArrowDown"], list("38,5"), list("12"), []]
    others = [["ArrowDown"], ["Space"], [], ["0"], ["ArrowDown"]]
    with demo.DemoServer(site) as server:
        seen = web_page.visit(
            tools, "form", server.address, clip=heard, clips=spoken[:1], answers=answers, others=others
        )
    return seen | {"bundle": bundle}


def test_no_screen_of_a_form_has_an_accessibility_issue(asking):
    assert len(asking["found"]) == 7 and not any(asking["found"].values()), asking["found"]
    assert asking["errors"] == [] and asking["foreign"] == []
    assert min(asking["sizes"]) >= 48, "large enough for a thumb"


def test_a_form_that_is_not_filled_in_is_refused_beside_each_question(asking):
    missing = "Please answer this question."
    assert asking["refused"] == {
        "above": "Questions that need an answer: 3.",
        "beside": {"fault-fever": missing, "fault-breathing": missing, "fault-days": missing},
        "bound": True,
    }
    assert asking["focused"] == "fever", "whoever cannot see the page is brought to the first of them"
    assert asking["mended"] == {"above": "", "beside": {}, "bound": True}, "what was mended is no longer called wrong"


def test_a_file_that_cannot_be_read_is_said_before_any_question(asking):
    assert "WAV" in asking["unreadable"]


def test_a_form_is_filled_in_by_keyboard_and_kept_through_a_change_of_language(asking):
    assert asking["tabs"] == {"tabs": len(FORM["questions"]), "at": "submit"}
    assert asking["kept"] == ["yes", "at_rest", "38,5", "12"]
    for one in FORM["questions"]:
        assert one["text"]["hi"] in asking["hindi"]


def test_the_answers_stand_beside_the_result_and_change_nothing_in_it(asking, spoken):
    wanted = told_by_run(asking["bundle"], spoken[0])
    row = asking["first"]["row"]
    assert row["answers"] == GIVEN and apart(row, wanted) <= EQUAL and row["label"] == wanted["label"]
    lines = ["Fever?", "Yes", "Breathing?", "Hard at rest", "Temperature?", "38.5 °C", "Days of cough?", "12 days"]
    for told in (asking["shown"], asking["listed"]):
        assert "\n".join([*lines, "Smell lost?", "No answer"]) in told
    assert asking["note"] == "The answers about the person had no part in this result."
    assert (asking["begin"], asking["submit"]) == ("Start", "Ask the model")


def test_the_next_persons_form_is_empty_and_the_same_persons_answers_are_taken_over(asking):
    assert asking["afresh"] == asking["afterBack"] == 0
    other = {"fever": False, "breathing": "easy", "temperature": None, "days": 0, "smell": False}
    assert asking["second"]["row"]["answers"] == asking["again"]["row"]["answers"] == other


def test_every_text_of_the_page_is_there_in_every_language():
    source = (demo.SOURCES / "src" / "texts.ts").read_text(encoding="utf-8")
    english, hindi = (
        dict(re.findall(r'^    (\w+): "(.*)",$', part, re.MULTILINE)) for part in source.split("  hi: {", 1)
    )
    assert english.keys() == hindi.keys() and len(english) > 60
    for name, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", hindi[name])), name
        assert text != hindi[name], name
