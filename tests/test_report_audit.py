import base64
import copy
import io
import json
import re
from pathlib import Path

import pytest

from edgecomp.delivery import without_voices
from edgecomp.errors import BundleError, InputError
from edgecomp.report import html, markdown, read_report, read_sounds, terminal_summary, write_report
from edgecomp.report import sounds as sounds_
from edgecomp.report.calibration import reliability
from edgecomp.report.deferral import risk_coverage
from edgecomp.report.slices import foremost, table
from tests.test_report import Outline

FIXTURES = Path(__file__).parent / "fixtures"


def audited() -> dict:
    """Return a report with audit, calibration and deferral; made by edgecomp.appraisal from simulated answers."""
    plain, audit = (json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8")) for name in ("report", "audit"))
    return plain | audit


def sounds(report: dict, size: int = 100) -> dict[str, bytes]:
    return {name: b"fLaC" + bytes([place]) * size for place, name in enumerate(sounds_.listed(report))}


@pytest.fixture
def report() -> dict:
    return audited()


@pytest.fixture(scope="module")
def page() -> str:
    made = audited()
    return html(made, sounds(made))


@pytest.fixture(scope="module")
def text(page) -> str:
    return Outline(page).text


@pytest.fixture
def without_plots(monkeypatch):
    """Leave the drawing out of tests that read only text."""
    monkeypatch.setattr("edgecomp.report.plots.svg", lambda *_, **__: None)
    for name in ("forest", "deferral", "calibration"):
        monkeypatch.setattr(f"edgecomp.report.{name}.svg", lambda *_, **__: None)


def test_the_page_answers_the_questions_in_the_order_in_which_they_are_asked(page):
    asked = (
        "Does it do what the teacher did?",
        "For whom not?",
        "What did compression forget?",
        "How does it fare outside the lab?",
        "When should it ask?",
        "What does it cost?",
        "Can its confidence be trusted?",
        "Where does it come from?",
    )
    found = re.findall(r'<h2 id="[^"]+">([^<]+)</h2>', page)
    assert tuple(found) == asked


def test_every_link_leads_to_a_section_of_the_page(page):
    ids = {value for name, value in Outline(page).attributes if name == "id"}
    links = re.findall(r'<a href="#([^"]+)"', page)
    assert len(links) == 4 and set(links) <= ids


def test_the_page_closes_every_tag_and_every_id_is_used_once(page):
    outline = Outline(page)
    assert outline.crossed == [] and outline.open == []
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids)) and len(re.findall(r'<svg class="plot"', page)) == 7


def test_the_page_is_one_file_without_scripts_or_anything_from_elsewhere(page):
    outline = Outline(page)
    assert not {"script", "link", "img", "iframe", "object", "source"} & set(outline.tags)
    sources = [value for name, value in outline.attributes if name == "src"]
    assert sources and all(value.startswith("data:audio/flac;base64,") for value in sources)
    assert set(re.findall(r"https?://[^\"'\s<)]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_every_table_has_a_caption_and_every_head_a_scope(page):
    tables = re.findall(r"<table(?! class=\"confusion\").*?</table>", page, re.DOTALL)
    assert len(tables) > 12 and all("<caption" in one for one in tables)
    assert re.findall(r"<th(?![^>]*scope=)[ >]", page) == []


def test_the_four_verdicts_are_counted_and_explained(text, report):
    counts = report["audit"]["verdicts"]
    for word in ("kept", "lost", "unclear", "too small"):
        assert re.search(rf"\b{counts[word]} [✓✕?·] {word} [A-Z][^.]+\.", text), word


def test_lost_slices_are_named_first_with_points_and_clips(text):
    assert (
        "2 of 18 comparisons of a slice with the teacher lost; groups first, and the one that surely lost most "
        "beyond all other clips: all clips (−3.3 points, 1,320" in text
    )
    assert "accent: scotland (−20.0 points, 220 clips)" in text


@pytest.mark.usefixtures("without_plots")
def test_what_a_slice_lost_beyond_the_others_stands_beside_its_difference(report):
    row = next(row for row in report["audit"]["slices"] if row["slice"] == "accent: scotland")
    row["beyond"] = {"value": -0.17, "low": -0.24, "high": -0.1, "n": 1320}
    page = Outline(html(report)).text
    assert "accent: scotland (−20.0 points, −17.0 in sureness beyond the other clips, 220 clips)" in page
    assert "beyond the other clips −17.0 points (−24.0 to −10.0)" in page


@pytest.mark.usefixtures("without_plots")
def test_sounds_that_were_left_out_on_purpose_are_said_to_be(report):
    report["audit"] = without_voices(report["audit"])
    page = Outline(html(report)).text
    assert "Their sounds were left out on purpose" in page and "<audio" not in html(report)


@pytest.mark.usefixtures("without_plots")
def test_every_slice_stands_in_the_table_once_with_its_verdict_and_reason(report):
    found = table(report)
    lines = [*found["open"], *found["folded"]]
    assert sorted(line["title"] for line in lines) == sorted(row["slice"] for row in report["audit"]["slices"])
    page = Outline(html(report)).text
    assert all(f"{line['verdict']} {line['why']}" in page for line in lines)


def test_lost_and_unclear_slices_are_never_folded_before_others(report):
    words = [row["verdict"] for row in foremost(report)]
    assert words[0] == "lost" and "too small" not in words[: words.count("lost") + words.count("unclear")]
    report["audit"]["slices"] *= 8
    assert len(foremost(report)) == 16


@pytest.mark.usefixtures("without_plots")
def test_long_tables_are_folded(report):
    assert "<details><summary>The other" in html(report)
    report["audit"]["slices"] = report["audit"]["slices"][:2]
    report["deferral"]["rates"] = report["deferral"]["rates"][:2]
    assert "<summary>The other" not in html(report)


def test_a_plot_of_slices_tells_every_drawn_slice_to_those_who_cannot_see_it(page, report):
    told = re.search(r'id="slices-difference-to-the-teacher-desc">([^<]+)<', page).group(1)
    assert all(row["slice"] in told for row in foremost(report)) and "−20.0 points (" in told


def test_forgotten_clips_stand_with_path_groups_and_every_models_answer(text, report):
    for clip in report["audit"]["forgotten"]["clips"]:
        assert f"{clip['path']} accent: {clip['groups']['accent']}" in text
        ships = clip["answers"]["int8"]
        assert f"≠ {ships['label']}" in text and f"{ships['probability'] * 100:.1f} %" in text
    assert "this is weaker than replicates" in text and "The stronger way is a compile with replicates" in text


@pytest.mark.usefixtures("without_plots")
def test_with_replicates_nothing_is_called_weaker(report):
    report["audit"]["forgotten"] |= {"is_weak": False, "method": "5 students from different seeds"}
    told = Outline(html(report)).text
    assert "5 students from different seeds." in told and "most students" in told and "stronger way" not in told


def test_every_listed_clip_has_a_player_with_its_sound(page, report):
    given = sounds(report)
    players = re.findall(
        r'<audio controls preload="none" src="data:audio/flac;base64,([^"]+)" aria-label="([^"]+)">', page
    )
    assert [base64.b64decode(sound) for sound, _ in players] == list(given.values())
    clips = report["audit"]["forgotten"]["clips"]
    assert [label for _, label in players] == [f"{clip['path']}, {clip['label']}" for clip in clips]


@pytest.mark.usefixtures("without_plots")
def test_without_sounds_there_is_no_player(report):
    assert "<audio" not in html(report)


@pytest.mark.usefixtures("without_plots")
def test_sounds_beyond_three_megabytes_stay_in_the_bundle_and_the_page_says_how_many(report):
    made = html(report, sounds(report, 1_000_000))
    assert made.count("<audio") == 2 and len(made.encode()) < 5_000_000
    assert "1 sound more is only in the bundle" in made


@pytest.mark.usefixtures("without_plots")
def test_sounds_are_written_into_the_bundle_and_read_again(report, tmp_path):
    given = sounds(report)
    write_report(report, tmp_path, given)
    assert read_sounds(tmp_path, read_report(tmp_path)) == given
    (tmp_path / next(iter(given))).unlink()
    assert list(read_sounds(tmp_path, report)) == list(given)[1:]


@pytest.mark.parametrize("name", ["../evil.flac", "/tmp/evil.flac", "forgotten/../../evil.flac", "forgotten/00.html"])
def test_a_sound_never_leaves_its_bundle(name, report, tmp_path):
    report["audit"]["forgotten"]["clips"][0]["sound"] = name
    (tmp_path / "evil.flac").write_bytes(b"x")
    with pytest.raises(InputError, match="a sound named"):
        sounds_.write_sounds(tmp_path / "bundle", {name: b"x"})
    (tmp_path / "bundle").mkdir()
    assert name not in read_sounds(tmp_path / "bundle", report)
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(BundleError, match="has the sound"):
        read_report(tmp_path)


def test_errors_are_shared_out_with_intervals(text, report):
    one = report["audit"]["inherited"]
    assert f"The teacher is wrong on {one['teacher_errors']} test clips; the student repeats" in text
    assert f"The student is wrong on {one['student_errors']} test clips;" in text and "of these errors are new" in text


@pytest.mark.usefixtures("without_plots")
def test_no_errors_to_share_out_is_no_crash(report):
    report["audit"]["inherited"] = {"teacher_errors": 0, "student_errors": 0, "repeated": None, "new": None}
    assert "The teacher is wrong on 0 test clips. The student is wrong on 0 test clips." in Outline(html(report)).text


def test_teacher_and_student_stand_side_by_side_under_every_corruption(text, report):
    for row in report["audit"]["outside"]["rows"]:
        figures = " ".join(f"{row[who]['value'] * 100:.1f} %.*?" for who in ("teacher", "ships"))
        assert re.search(f"{re.escape(row['name'])} {re.escape(row['text'])} {figures} points", text), row["name"]
    assert "relative to the power of the whole clip, padding included" in text


def test_the_rule_is_one_sentence_with_its_numbers(text, report):
    one = report["deferral"]
    assert f"asks the teacher where its uncertainty is above {one['ask_above']:.3f}" in text
    assert f"1,320 validation clips of {one['subjects']} subjects: it answers {one['answered']:,} of them" in text
    assert f"{one['errors']} wrongly, so that with 95 % confidence at most {one['bound'] * 100:.1f} % of" in text
    assert "(the recipe allows 5 %)" in text and "not after a change of place or microphone" in text


def test_the_curve_marks_the_shipped_threshold_and_the_allowed_risk(page):
    plot = re.search(r'<svg class="plot"[^>]*aria-labelledby="risk-against-coverage.*?</svg>', page, re.DOTALL).group()
    assert "shipped: answers 94.4 %" in plot and "allowed 5 %" in plot


def test_slices_that_are_asked_about_beyond_chance_are_named_and_marked(text, page):
    assert "More often than on the other clips, beyond chance: accent: scotland; the teacher is unsure." in text
    assert page.count("▲ more than others") == 2


def test_what_the_deferral_catches_and_foreign_sounds_stand_with_intervals_and_n(text, report):
    test = report["deferral"]["test"]
    assert f"asked about {test['caught']['value'] * 100:.1f} %" in text and f"{test['caught']['n']} clips" in text
    assert "right answers of the pair" in text
    for row in report["deferral"]["foreign"]:
        assert re.search(f"{row['name']} .*?{row['auroc']['value']:.3f} {row['auroc']['low']:.3f} to", text)


@pytest.mark.usefixtures("without_plots")
def test_a_model_that_always_asks_says_why(report):
    report["deferral"] |= {"ask_above": None, "bound": None, "note": "always asks: too few clips", "answered": 0}
    report["deferral"]["test"] |= {"risk": None, "caught": None}
    told = "It asks the teacher about every clip: too few clips."
    assert told in Outline(html(report)).text and told in terminal_summary(report) and told in markdown(report)


def test_an_unanswered_test_split_still_has_a_curve(report):
    report["deferral"]["test"]["risk"] = None
    plot = risk_coverage(report)
    assert "shipped: answers" not in plot and "Risk against coverage" in plot


def test_the_costs_of_every_way_stand_with_their_unit(text, report):
    costs = report["deferral"]["costs"]
    assert "Costs in teacher calls (no costs given" in text and "compile paid for" not in text
    assert all(row["name"] in text for row in costs["rows"])
    assert "everything local 100.0 % 0 " in text  # what is so by definition has no interval


@pytest.mark.usefixtures("without_plots")
def test_with_prices_the_table_says_when_the_compile_is_paid_for(report):
    report["deferral"]["costs"] |= {"unit": "EUR", "note": None}
    rows = report["deferral"]["costs"]["rows"]
    rows[1]["paid_after"], rows[2]["paid_after"] = 1234, None
    told = Outline(html(report)).text
    assert "Costs in EUR." in told and "compile paid for after calls" in told and "1,234" in told and "never" in told


def test_calibration_stands_before_and_after_with_intervals(text, report):
    for when, name in (("before", "before calibration"), ("after", "after, as it ships")):
        one = report["calibration"][when]["calibration_error"]
        assert f"{name} {one['value'] * 100:.1f} % {one['low'] * 100:.1f} to {one['high'] * 100:.1f}" in text
    assert "the logits were scaled by 0.700, a temperature of 1.43" in text


def test_reliability_before_is_drawn_where_it_is_known(report):
    assert "before calibration" not in reliability(report)
    report["calibration"]["before"]["reliability"] = report["stages"][0]["reliability"]
    assert "before calibration" in reliability(report)


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(
    "left_out", [("audit",), ("calibration",), ("deferral",), ("audit", "calibration", "deferral")]
)
def test_every_new_part_may_be_missing(left_out, report, tmp_path):
    for key in left_out:
        del report[key]
    write_report(report, tmp_path)
    outline = Outline(html(read_report(tmp_path)))
    assert outline.crossed == [] and outline.open == [] and markdown(report)
    for key, head in (
        ("audit", "How does it fare outside the lab?"),
        ("deferral", "On whom does the asking fall?"),
        ("calibration", "before calibration"),
    ):
        assert (head in outline.text) == (key not in left_out)


BROKEN = {
    "audit.models": 3,
    "audit.shipped": "int4",
    "audit.margin": "3 %",
    "audit.verdicts.kept": None,
    "audit.slices": {"a": 1},
    "audit.slices.0.verdict": "fine",
    "audit.slices.0.n": "many",
    "audit.slices.0.values": [1],
    "audit.slices.0.difference.value": [],
    "audit.slices.0.metric": None,
    "audit.inherited.new": 0.3,
    "audit.forgotten.share": None,
    "audit.forgotten.clips.0.path": 7,
    "audit.forgotten.clips.0.answers": ["no"],
    "audit.forgotten.clips.0.distance": None,
    "audit.outside.rows.0.ships": 0.5,
    "audit.outside.rows": None,
    "calibration.scale": 0,
    "calibration.before": {"brier": 0.1},
    "deferral.n": None,
    "deferral.ask_above": "high",
    "deferral.test": 0.9,
    "deferral.curve.risk": [0.1],
    "deferral.rates.0.is_above": "yes",
    "deferral.foreign.0.auroc": None,
    "deferral.costs.rows.0.per_1000": "cheap",
}


@pytest.mark.parametrize("place", BROKEN)
def test_a_damaged_audit_is_a_bundle_error(place, report, tmp_path):
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = report
    for part in path:
        inner = inner[part]
    inner[last] = BROKEN[place]
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(BundleError, match="damaged report"):
        read_report(tmp_path)


def test_an_audit_comes_back_as_it_was_written(report, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path) == report


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</svg></title><b>--"]
)
def test_names_with_markup_never_become_markup(hostile, report, page):
    made = copy.deepcopy(report)
    made["audit"]["slices"][0]["slice"] = made["audit"]["slices"][1]["why"] = hostile
    made["audit"]["models"][-1] = made["audit"]["shipped"] = hostile
    clip = made["audit"]["forgotten"]["clips"][0]
    clip["path"] = clip["label"] = clip["subject"] = hostile
    clip["groups"] = {hostile: hostile}
    clip["answers"]["teacher"]["label"] = made["audit"]["forgotten"]["method"] = hostile
    made["audit"]["outside"]["rows"][0] |= {"name": hostile, "text": hostile}
    made["audit"]["outside"]["skipped"] = [{"name": hostile, "why": hostile}]
    made["deferral"]["rates"][0]["name"] = made["deferral"]["note"] = made["deferral"]["costs"]["unit"] = hostile
    made["deferral"]["foreign"][0] |= {"name": hostile, "text": hostile}
    outline = Outline(html(made, sounds(made)))
    assert outline.crossed == [] and outline.open == []
    assert sorted(set(outline.tags)) == sorted({*Outline(page).tags}) and outline.text.count(hostile) > 8
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert not re.search(r"(?<!\\)<", markdown(made))


def test_markdown_holds_the_same_sections_and_figures(report):
    told = markdown(report)
    for head in ("For whom not", "What compression forgot", "Outside the lab", "When it should ask", "Calibration"):
        assert f"\n## {head}\n" in told
    assert "| accent: scotland | lost | 20.0 points lost" in told and "this is weaker" in told
    assert "Asked about more than others, beyond chance: accent: scotland" in told
    assert "## What stays local, at which cost" in told and "## Labels" not in told
    tables = [line for line in told.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_the_terminal_says_it_in_six_plain_lines(report):
    told = terminal_summary(report)
    assert len(told) == 6 and not [line for line in told if "\n" in line]
    assert told[0] == "slices: 2 lost, 12 unclear, 3 too small, 1 kept"
    assert told[1] == "lost: all clips; accent: scotland"
    assert told[2].startswith("It asks above an uncertainty of 0.613: at most 3.9 % of its own answers wrong")
    assert told[3].startswith("On the test split it answers 94.4 %") and told[5].startswith("Worst under “")
    assert re.match(r"Calibration error [\d.]+ % before, [\d.]+ % after; Brier score", told[4])


def test_plots_of_a_report_without_parts_are_left_out_and_the_others_drawn(report):
    del report["audit"], report["calibration"]
    made = html(report)
    assert made.count('<svg class="plot"') == 5 and "Risk against coverage" in made


def test_an_older_report_has_nothing_to_say_about_an_audit():
    assert terminal_summary(read_report(FIXTURES / "report.json")) == []


@pytest.mark.usefixtures("without_plots")
def test_two_labels_stand_with_their_metric(report):
    row = report["audit"]["slices"][1]
    row["metric"] = "sensitivity"
    told = Outline(html(report)).text
    assert "accent: scotland, sensitivity (−20.0 points" in told
    row["metric"], row["values"]["teacher"]["value"] = "AUROC", 0.93456
    assert "0.935" in Outline(html(report)).text


def test_a_sound_that_soundfile_wrote_is_embedded_whole(report):
    import numpy as np
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(800, np.float32), 8000, format="FLAC", subtype="PCM_16")
    name = sounds_.listed(report)[0]
    made = sounds_.players(report, {name: stream.getvalue()})
    assert base64.b64decode(made[name].split(",")[1]) == stream.getvalue()
