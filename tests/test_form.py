"""A bundle's questions: what a recipe may ask, how bundle.json holds it, and what each mistake is answered with."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edgecomp import bundle as bundles
from edgecomp.bundle import read_bundle
from edgecomp.errors import BundleError, RecipeError
from edgecomp.form import UNSTATED, Form, read_form, said
from edgecomp.papers import model_card
from edgecomp.recipe import read_recipe
from edgecomp.report.page import html
from edgecomp.shipped import shipped
from tests.small_bundle import REPORT, write_small_bundle
from tests.small_form import FORM
from tests.small_report import audited_report, facts

RECIPE = 'name = "coughs"\n[data]\npath = "clips"\n'
FEVER = '[[form.questions]]\nid = "fever"\ntext = "Fever?"\n'
DAYS = '[[form.questions]]\nid = "days"\ntext = "Days?"\nkind = "number"\nmin = 0\nmax = 365\n'
BREATH = """[[form.questions]]
id = "breath"
text = { en = "Breathing?", hi = "साँस?" }
kind = "choice"
options = [{ id = "easy", text = { en = "Easy", hi = "आसान" } }, { id = "hard", text = "…" }]
"""


def recipe(folder: Path, form: str):
    (folder / "recipe.toml").write_text(RECIPE + form, encoding="utf-8")
    return read_recipe(folder)


def test_a_recipe_without_questions_has_an_empty_form(tmp_path):
    assert recipe(tmp_path, "").form == Form()


def test_a_plain_text_is_one_for_every_language(tmp_path):
    (fever, days, breath) = recipe(tmp_path, FEVER + DAYS + BREATH).form.questions
    assert fever.text == {UNSTATED: "Fever?"} and fever.kind == "yes-no" and not fever.optional
    assert (days.min, days.max, days.decimals) == (0.0, 365.0, None)
    assert breath.text["hi"] == "साँस?" and [option.id for option in breath.options] == ["easy", "hard"]


@pytest.mark.parametrize(
    ("form", "what", "fix"),
    [
        (FEVER + 'kin = "yes-no"\n', "unknown key 'kin'", "did you mean 'kind'? allowed: decimals, help, id, kind"),
        (BREATH.replace("text = { en = \"Easy\"", "txt = { en = \"Easy\""), "unknown key 'txt'", "allowed: id, text"),
        (FEVER + 'kind = "yesno"\n', "form.questions.0.kind is 'yesno'", "did you mean 'yes-no'? allowed: choice"),
        (FEVER + "optional = 1\n", "form.questions.0.optional is 1", "give true or false"),
        (FEVER.replace('"fever"', '"Has Fever"'), "form.questions.0.id is 'Has Fever'", "use a to z"),
        (FEVER.replace('text = "Fever?"\n', ""), "missing key 'text'", "add it; keys of this table are id, text, kind"),
        (FEVER.replace('"Fever?"', '"  "'), "form.questions.0.text is '  '", "give a text that is not empty, in every language"),
        (FEVER.replace('"Fever?"', "3"), "form.questions.0.text is 3", "give a text in quotes, or one for each language"),
        (FEVER.replace('"Fever?"', "{}"), "form.questions.0.text is {}", "give a text in quotes, or one for each language"),
        (FEVER.replace('"Fever?"', '{ English = "Fever?" }'), "form.questions.0.text is {'English'", 'named as in "en"'),
        (FEVER.replace('"Fever?"', '{ en = "" }'), "form.questions.0.text is {'en': ''}", "not empty"),
        (FEVER.replace('"Fever?"', '"a\\nb"'), "form.questions.0.text is 'a\\nb'", "at most 500 letters on one line"),
        (FEVER + FEVER, "form.questions is [", "give every question an id of its own: 'fever' stands twice"),
        (FEVER + "max = 3\n", "[form.questions.0] question 'fever' is a yes-no question, which has no max", "keys of this table"),
        (DAYS.replace("max = 365\n", ""), "question 'days' is a number question: give min and max", "min, max"),
        (DAYS.replace("365", "0"), "question 'days' is a number question, and min 0 is not below max 0", "min, max"),
        (DAYS.replace("365", "nan"), "form.questions.0.max is nan", "finite number"),
        (DAYS.replace("365", "9.5"), "question 'days' is a number question: give min and max with 0 decimals", "decimals"),
        (DAYS + "decimals = 9\n", "form.questions.0.decimals is 9", "less than or equal to 6"),
        (BREATH.split("options")[0], "question 'breath' is a choice question: give at least two options", "options"),
        (BREATH.replace('"hard"', '"easy"'), "is a choice question, and its option 'easy' stands twice", "options"),
        (
            BREATH + FEVER.replace('"Fever?"', '{ en = "Fever?" }'),
            "form.questions is [",
            "the text of question 'fever' has no 'hi', which other texts of this form have",
        ),
        (BREATH.replace(', hi = "आसान"', ""), "form.questions is [", "the option 'easy' of question 'breath' has no 'hi'"),
        ('[form]\nquestion = []\n', "unknown key 'question'", "did you mean 'questions'? allowed: questions"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_itself_and_what_is_allowed(tmp_path, form, what, fix):
    with pytest.raises(RecipeError) as caught:
        recipe(tmp_path, form)
    assert caught.value.what.startswith(what) or what in caught.value.what
    assert fix in caught.value.fix and "recipe.toml [form" in caught.value.where
    assert "pydantic" not in str(caught.value).lower()


def test_the_form_of_the_documentation_is_one(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "embedding.md").read_text(encoding="utf-8")
    (told,) = [one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "form.questions" in one]
    form = recipe(tmp_path, told).form
    assert [one.kind for one in form.questions] == ["yes-no", "choice", "number"] and form.languages == ["en", "hi"]


def test_there_is_no_question_whose_answer_is_a_free_text(tmp_path):
    with pytest.raises(RecipeError, match="kind is 'text'"):
        recipe(tmp_path, FEVER + 'kind = "text"\n')


def test_a_text_is_said_in_the_language_that_is_asked_for():
    words = {"hi": "ज्वर", "en": "fever", "pt-BR": "febre"}
    assert [said(words, one) for one in ("hi-IN", "hi", "pt-BR", "pt", "sw")] == [
        "ज्वर",
        "ज्वर",
        "febre",
        "fever",
        "fever",
    ]
    assert said({UNSTATED: "°C"}, "hi") == "°C" and said({"hi": "ज्वर"}, "sw") == "ज्वर"


def test_what_a_bundle_holds_is_read_as_the_form_it_was():
    form = read_form(FORM)
    assert form.told() == FORM and form.languages == ["en", "hi"] and read_form(form.told()) == form


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("form") / "sounds-anything", form=FORM)


def rewrite(folder: Path, form: object, *, sealed: bool = True) -> None:
    """Change the form in bundle.json, as someone would who also mends its own hash, or does not."""
    told = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    digest = told.pop("hash")
    told["form"] = form
    told["hash"] = bundles._own_hash(told) if sealed else digest
    (folder / "bundle.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture
def changed(folder):
    """Give a function that changes the form; the bundle is mended at the end."""
    before = (folder / "bundle.json").read_bytes()
    yield lambda form, **how: rewrite(folder, form, **how)
    (folder / "bundle.json").write_bytes(before)


def test_a_bundle_gives_its_form_and_one_without_has_none(folder, tmp_path):
    assert read_bundle(folder).form.told() == FORM
    plain = read_bundle(write_small_bundle(tmp_path / "plain"))
    assert plain.form.questions == [] and "form" not in plain.facts


def test_a_changed_question_is_refused_by_the_bundles_own_hash(folder, changed):
    form = json.loads(json.dumps(FORM).replace("Fever?", "Cough?"))
    changed(form, sealed=False)
    with pytest.raises(BundleError, match=r"bundle\.json was changed"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "form",
    [None, [], 3, {"questions": 3}, {"questions": [{}]}, {"questions": FORM["questions"][:1] * 2}, {"question": []}],
)
def test_a_form_that_cannot_be_asked_is_refused_with_its_place(folder, changed, form):
    changed(form)
    with pytest.raises(BundleError, match=r"bundle\.json: form") as caught:
        read_bundle(folder)
    assert caught.value.fix == "compile the bundle again"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_fuzzed_form_is_a_form_or_a_message(data):
    told = json.loads(json.dumps(FORM))
    place = data.draw(st.sampled_from(told["questions"]))
    place[data.draw(st.sampled_from(sorted(place)) | st.text(max_size=4))] = data.draw(values)
    try:
        assert len(read_form(told).questions) == len(FORM["questions"])
    except ValueError as why:
        assert str(why).startswith("form.questions")


def test_the_card_names_the_questions_and_says_that_they_change_no_decision():
    card = model_card(audited_report(), facts() | {"form": FORM})
    told = card.split("## What it does")[1].split("\n## ")[0]
    assert "5 questions" in told and "Days of cough?" in told and "in en and hi" in told
    assert "They change no decision" in told
    assert "questions" not in model_card(audited_report(), facts()).split("## What it does")[1].split("\n## ")[0]


def test_the_report_says_that_the_answers_change_no_decision():
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    page = html(report | {"form": FORM})
    assert (
        "an app asks 5 questions about the person. The model never hears the answers: they change no decision" in page
    )


def test_show_names_the_questions(folder):
    from edgecomp.cli import app

    done = CliRunner().invoke(app, ["show", str(folder)])
    assert done.exit_code == 0, done.output
    assert "asks  breathing (choice): Breathing?" in done.stdout
    assert "asks  temperature (number, may be skipped): Temperature?" in done.stdout
    assert "the answers to what an app asks change no decision" in done.output


def test_the_coughs_recipe_asks_for_symptoms_in_english_and_hindi_and_for_nobody():
    form = read_recipe(shipped("models") / "cough").form
    assert form.languages == ["en", "hi"] and {one.kind for one in form.questions} == {"yes-no", "choice", "number"}
    assert {"cough", "fever", "breathing"} <= {one.id for one in form.questions}
    asked = " ".join(said(words) for one in form.questions for _, words in one.texts()).lower()
    for word in ("name", "birth", "phone", "address", "village", "number", "age ", "date"):
        assert word not in asked
