"""The form in every generated module, rule 9 of docs/embedding.md: what answers a question, and where the answers stand."""

import importlib
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from android_demo.checks import kotlinc
from edgecomp import demo
from edgecomp.bundle import read_bundle
from edgecomp.embed import android, embed, languages
from edgecomp.embed.facts import read_facts
from edgecomp.errors import EdgecompError
from tests.android_tools import have
from tests.small_bundle import RATE, SAMPLES, write_small_bundle
from tests.small_form import FORM, GIVEN, ODD

BUILD = Path(__file__).parents[1] / "build"
VALUES = [
    *(True, False, None, "easy", "at_rest", "hard", "", "true", 0, 1, -1, 30, 30.0, 37.25, 38.5, 45.1, 365, 366, 12.5),
    *(29.9, 44.9, 1e300, "12", [], {}, [True]),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return read_bundle(write_small_bundle(tmp_path_factory.mktemp("bundle") / "sounds-anything", form=FORM))


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory) -> Path:
    """The folder that holds the Python package."""
    made = tmp_path_factory.mktemp("python")
    embed(bundle, "python", made)
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))


@pytest.fixture(scope="module")
def package(bundle, folder):
    return importlib.import_module(read_facts(bundle).package)


@pytest.fixture(scope="module")
def form(package):
    return importlib.import_module(f"{package.__name__}.form")


@pytest.fixture(scope="module")
def questions(package, form):
    stated = json.loads((Path(package.__file__).parent / "facts.json").read_text(encoding="utf-8"))["questions"]
    assert stated == FORM["questions"]
    return form.read_questions(stated)


def answers(form, questions, given: dict) -> dict | None:
    """Return what Python keeps of some answers, or None where it refuses them."""
    try:
        return form.check_answers(questions, given)
    except form.FormError:
        return None


def cases() -> list[dict]:
    """Return answers of which one is exchanged or left out, or one too many is given."""
    changed = [{**GIVEN, name: value} for name in GIVEN for value in VALUES]
    fewer = [{key: value for key, value in GIVEN.items() if key != name} for name in GIVEN]
    return [GIVEN, *changed, *fewer, {**GIVEN, "name": "somebody"}, {}]


def test_the_answers_stand_in_the_order_of_the_questions_and_what_was_skipped_is_none(form, questions):
    shuffled = dict(sorted(GIVEN.items(), reverse=True))
    del shuffled["smell"]
    assert list(form.check_answers(questions, shuffled).items()) == list(GIVEN.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fever": None}, "fever is not answered; allowed: true, false"),
        ({"fever": "yes"}, 'fever is "yes"; allowed: true, false'),
        ({"breathing": "hard"}, 'breathing is "hard"; allowed: easy, at_rest'),
        ({"days": 12.5}, "days is 12.5; give a number from 0 to 365, a whole one"),
        ({"temperature": 99}, "temperature is 99; give a number from 30 to 45 and at most 1 decimals; null where"),
        ({"nam": "A. B."}, "there is no question 'nam'; there are fever, breathing, temperature, days, smell"),
    ],
)
def test_an_answer_to_nothing_is_refused_with_what_is_allowed(form, questions, change, message):
    with pytest.raises(form.FormError) as caught:
        form.check_answers(questions, GIVEN | change)
    assert str(caught.value).startswith(message)


def test_only_what_a_question_allows_is_kept(form, questions):
    kept = [one for one in cases() if answers(form, questions, one) is not None]
    assert {json.dumps(one.get("days")) for one in kept} == {"12", "0", "1", "30", "30.0", "365"}
    assert {json.dumps(one.get("temperature")) for one in kept} == {"null", "38.5", "30", "30.0", "44.9"}
    assert {json.dumps(one.get("fever")) for one in kept} == {"true", "false"}
    assert {json.dumps(one.get("breathing")) for one in kept} == {'"easy"', '"at_rest"'}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_fuzzed_questions_and_answers_are_the_typed_error_or_are_kept(form, questions, data):
    told = json.loads(json.dumps(FORM["questions"]))
    place = data.draw(st.sampled_from(told))
    place[data.draw(st.sampled_from(sorted(place)) | st.text(max_size=4))] = data.draw(values)
    try:
        read = form.read_questions(json.loads(json.dumps(told)))
        assert list(form.check_answers(read, data.draw(values))) == [one.id for one in read]
    except form.FormError as why:
        assert str(why)


def test_the_types_of_the_answers_are_those_of_the_questions(package):
    hints = typing.get_type_hints(package.FormAnswers)
    assert hints == {
        "fever": bool,
        "breathing": typing.Literal["easy", "at_rest"],
        "temperature": typing.Optional[float],  # noqa: UP045  as the generated code says it
        "days": float,
        "smell": typing.Optional[bool],  # noqa: UP045
    }


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sounds", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_answers_beside_a_recording_stand_in_its_row_and_change_nothing_else_there(folder, tmp_path):
    for name in ("with", "without", "wrong", "broken"):
        soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(SAMPLES) / 9) / 2, RATE)
    (tmp_path / "with.answers.json").write_text(json.dumps(GIVEN))
    (tmp_path / "wrong.answers.json").write_text(json.dumps(GIVEN | {"days": 400}))
    (tmp_path / "broken.answers.json").write_text("{")
    done = run(folder, *(tmp_path / f"{name}.wav" for name in ("with", "without", "wrong", "broken")))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2, "two of them could not be used"
    beside = [{key: row.pop(key) for key in ("answers", "answers_error", "path") if key in row} for row in rows]
    assert rows[0] == rows[1] == rows[2] == rows[3] and rows[0]["label"]
    assert beside[0]["answers"] == GIVEN and list(beside[0]["answers"]) == list(GIVEN)
    assert beside[1].keys() == {"path"}
    assert beside[2]["answers_error"].startswith("wrong.answers.json: days is 400; give a number from 0 to 365")
    assert beside[3]["answers_error"].startswith("broken.answers.json is no JSON")
    assert run(folder, tmp_path / "with.wav", tmp_path / "without.wav").returncode == 0


def test_a_bundle_without_a_form_leaves_what_lies_beside_a_recording_alone(tmp_path):
    embed(read_bundle(write_small_bundle(tmp_path / "sounds-anything")), "python", tmp_path / "python")
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(SAMPLES) / 9) / 2, RATE)
    (tmp_path / "a.answers.json").write_text("{")
    done = run(tmp_path / "python", tmp_path / "a.wav")
    assert done.returncode == 0 and not {"answers", "answers_error"} & json.loads(done.stdout).keys()


@pytest.mark.parametrize("language", sorted({*languages()} - {"c"}))
def test_every_module_with_a_screen_or_a_record_states_the_questions(language, bundle, tmp_path):
    embed(bundle, language, tmp_path)
    text = "\n".join(
        file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.suffix in (".kt", ".json")
    )
    assert all(f'"{one["id"]}"' in text for one in FORM["questions"])


def test_c_says_that_it_states_no_questions():
    from edgecomp.embed import c

    assert "no questions" in " ".join(c.files.__doc__.split())


@pytest.fixture(scope="module")
def tools() -> Path:
    """Return the page's folder with its packages, or skip with the reason."""
    try:
        return demo.prepare(BUILD, testing=True)
    except EdgecompError as why:
        pytest.skip(f"the web module cannot be tested: {why.what}")


def node(tools: Path, command: list[str], given: str = "", **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=tools,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.system
def test_typescript_keeps_and_refuses_what_python_does(tools, bundle, form, questions, tmp_path):
    embed(bundle, "web", tmp_path)
    folder = tmp_path / read_facts(bundle).package
    node(tools, ["node", "test/bundle_module.mjs", str(folder), str(tmp_path / "module.mjs")])
    asked = [{"job": "answers", "given": one} for one in cases()]
    typed = [
        "12",
        " 12 ",
        "12,5",
        "38.5",
        "३८.५",
        "-3",
        "+3",
        "1e3",
        "",
        " ",
        "12.",
        ".5",
        "0x10",
        "१२",
        "twelve",
        "1 2",
    ]
    asked += [{"job": "number", "typed": one} for one in typed]
    stated = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    told = node(
        tools,
        ["node", "test/module.mjs"],
        json.dumps({"facts": stated, "cases": asked}),
        MODULE=str(tmp_path / "module.mjs"),
    )
    found = json.loads(told)
    assert found[: len(cases())] == [answers(form, questions, one) for one in cases()]
    figures = [12, 12, 12.5, 38.5, 38.5, -3, None, None, None, None, None, None, None, 12, None, None]
    assert found[len(cases()) :] == figures


@pytest.mark.system
def test_kotlins_literals_of_the_form_are_compiled_whatever_the_texts_are(tmp_path):
    form = {"questions": [*FORM["questions"], ODD]}
    embed(read_bundle(write_small_bundle(tmp_path / "sounds-anything", form=form)), "android", tmp_path / "model")
    have(kotlinc.model_module, tmp_path / "model")


def test_kotlin_states_the_questions_as_typed_values(bundle):
    facts = read_facts(bundle)
    text = android._filled("Version.kt", android._known(facts, "0" * 64))
    for told in (
        'YesNo("fever", Words("en" to "Fever?", "hi" to "\\u092c',
        'Choice("breathing", Words("en" to "Breathing?"',
        'Option("at_rest", Words("en" to "Hard at rest"',
        "min = 30.0, max = 45.0, decimals = 1",
        "isOptional = true",
    ):
        assert told in text, told
