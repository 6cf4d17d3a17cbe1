import copy
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edgecomp.artifact import Step
from edgecomp.errors import BundleError, InputError
from edgecomp.report import (
    calibration,
    comparison_html,
    html,
    markdown,
    plots,
    read_report,
    rows,
    terminal_table,
    write_report,
)
from edgecomp.report import wording as say
from edgecomp.report.reading import shipped

FIXTURE = Path(__file__).parent / "fixtures" / "report.json"
VOID = {"meta", "br", "hr", "img", "input", "link"}


@pytest.fixture
def report() -> dict:
    return read_report(FIXTURE)


@pytest.fixture(scope="module")
def page() -> str:
    return html(read_report(FIXTURE))


@pytest.fixture
def without_plots(monkeypatch):
    """Leave the drawing out of tests that read only text."""
    for name in ("accuracy_against", "latency_spread", "bundles"):
        monkeypatch.setattr(plots, name, lambda *_: None)
    monkeypatch.setattr(calibration, "reliability", lambda *_: None)


class Outline(HTMLParser):
    """Collects what stands in a page, and complains about tags that do not close."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts, self.crossed = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data):
        if not (self.open and self.open[-1] == "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def _hostile(report: dict, text: str) -> dict:
    """Put a text into every place of a report that a user or a user's data can write to."""
    made = copy.deepcopy(report)
    made["labels"][2] = made["name"] = made["summary"] = made["data"]["source"] = made["warnings"][0] = text
    made["gates"][0]["text"] = made["stages"][1]["name"] = made["target"]["name"] = made["device"] = text
    made["trail"][0]["settings"] = {text: text}
    made["data"]["findings"][0]["files"] = [text]
    return made


@pytest.mark.usefixtures("without_plots")
def test_a_report_comes_back_as_it_was_written(report, tmp_path):
    write_report(report, tmp_path / "bundle")
    assert read_report(tmp_path / "bundle") == report
    assert read_report(tmp_path / "bundle" / "report.json") == report
    assert sorted(p.name for p in (tmp_path / "bundle").iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[1]", "a list where a table should be"),
        ("\x00\xff", "not valid JSON"),
        ('{"schema": 1}', "'name' is missing"),
    ],
)
def test_a_damaged_report_is_a_bundle_error_that_says_what_is_wrong(content, says, tmp_path):
    (tmp_path / "report.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BundleError, match=says) as error:
        read_report(tmp_path)
    assert error.value.exit_code == 2 and "report.json" in error.value.where and error.value.fix


def test_a_report_of_another_schema_is_refused_with_both_versions(report, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(report | {"schema": 2}))
    with pytest.raises(BundleError, match="schema 2") as error:
        read_report(tmp_path)
    assert "schema 1" in error.value.fix


def test_a_missing_report_is_a_bundle_error(tmp_path):
    with pytest.raises(BundleError, match=r"no report\.json"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        {"stages": [{"name": "int8"}]},
        {"stages": [7]},
        {"stages": [{"name": "int8", "files": [{"format": "onnx", "measurements": [1]}]}]},
        {"stages": [{"name": "int8", "files": [{"format": "onnx", "measurements": {"accuracy": {}}}]}]},
        {"gates": None},
        {"gates": [{"name": "loss"}]},
        {"parity": [3]},
        {"trail": [{"name": "prune"}]},
        {"target": {}},
        {"labels": ["only one"]},
    ],
)
def test_a_report_with_broken_stages_is_damaged(broken, report, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(report | broken))
    with pytest.raises(BundleError, match="damaged"):
        read_report(tmp_path)


def test_rows_hold_every_measurement_of_every_file(report):
    found = rows(report)
    expected = sum(len(file["measurements"]) for stage in report["stages"] for file in stage["files"])
    assert len(found) == expected > 50
    one = next(row for row in found if row["shipped"] and row["format"] == "tflite" and row["name"] == "latency_p50")
    assert (one["stage"], one["format"], one["value"], one["unit"]) == ("int8", "tflite", 1.62, "ms")
    assert one["low"] < one["value"] < one["high"] and one["device"].startswith("host (") and len(one["hash"]) == 64


def test_the_file_of_the_targets_format_is_the_one_that_ships(report):
    assert [row["stage"] for row in rows(report) if row["shipped"] and row["name"] == "bytes"] == ["finetuned", "int8"]
    assert shipped(report)[1]["format"] == "tflite"
    report["target"]["format"] = "onnx"
    assert (shipped(report)[0]["name"], shipped(report)[1]["format"]) == ("finetuned", "onnx")
    assert "The model that ships is finetuned onnx, 188 kB. The bundle also holds int8 tflite." in markdown(report)


@pytest.mark.usefixtures("without_plots")
def test_a_report_is_written_from_arrays_and_dataclasses_too(report, tmp_path):
    made = copy.deepcopy(report)
    made["labels"] = tuple(report["labels"])
    made["stages"][-1]["confusion"] = np.array(report["stages"][-1]["confusion"])
    made["stages"][0]["files"][0]["measurements"]["brier"]["value"] = float("nan")
    made["trail"][0] = Step(**report["trail"][0])
    write_report(made, tmp_path)
    report["stages"][0]["files"][0]["measurements"]["brier"]["value"] = None
    assert read_report(tmp_path) == report
    assert html(made) == html(report) and markdown(made) == markdown(report) and terminal_table(made)


@pytest.mark.usefixtures("without_plots")
def test_a_threshold_is_told_beside_the_counts(report):
    report["decision"] = {
        "rule": "threshold",
        "positive": "off",
        "threshold": 0.31,
        "fitted": "sensitivity of at least 0.9 on the validation split",
    }
    text = Outline(html(report)).text
    assert "The bundle answers “off” from a probability of 0.310 on" in text


def test_the_page_is_one_file_without_scripts_or_anything_from_elsewhere(page):
    outline = Outline(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(outline.tags)
    assert "@import" not in page and "url(http" not in page
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert len(page.encode()) < 1_000_000


def test_the_page_closes_every_tag_and_names_every_plot(page):
    outline = Outline(page)
    assert outline.crossed == [] and outline.open == []
    plots = re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL)
    assert len(plots) == 4
    ids = [value for name, value in outline.attributes if name == "id"]
    for plot in plots:
        assert re.search(r"<title[^>]*>[^<]+</title><desc[^>]*>[^<]+</desc>", plot) and 'role="img"' in plot
        assert all(name in ids for name in re.search(r'aria-labelledby="([^"]+)"', plot).group(1).split())
    assert len(ids) == len(set(ids))


def test_plots_take_their_colours_from_the_page(page):
    for plot in re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL):
        assert set(re.findall(r"(?:fill|stroke): (#\w+)", plot)) <= {"#000000"}  # matplotlib's default, never drawn
        assert "var(--ink)" in plot or "var(--accent)" in plot


def test_the_same_report_gives_the_same_bytes(report, page):
    assert html(read_report(FIXTURE)) == page
    assert "<dc:date>" not in page


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</svg></title><script>",
        "--><b>",
        "{{ 7*7 }} $\\frac{1}$",
    ],
)
def test_texts_of_the_user_never_become_markup(text, report, page):
    plain = Outline(page)
    outline = Outline(html(_hostile(report, text)))
    assert outline.crossed == [] and outline.open == [] and sorted(set(outline.tags)) == sorted(set(plain.tags))
    assert " ".join(text.split()) in outline.text
    table = comparison_html([_hostile(report, text)])
    assert "<script" not in table and "<img" not in table and "<b>--" not in table


def test_markdown_escapes_texts_of_the_user(report):
    text = markdown(_hostile(report, "<script>|`*[a](javascript:b)\n# title"))
    assert "<script>" not in text and "[a](" not in text and "\n# title" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables and all(line.endswith("|") for line in tables)


@pytest.mark.usefixtures("without_plots")
def test_the_page_says_that_latency_was_not_measured_on_the_phone(page, report):
    text = Outline(page).text
    assert f"measured on {report['device']}, not on the galaxy-a05s itself" in text
    assert f"measured on {report['device']}, not on the galaxy" in markdown(report).replace("\\", "")
    report["target"]["name"] = "host"
    assert "which is also the target" in Outline(html(report)).text


def test_figures_stand_with_unit_interval_and_n(page):
    text = Outline(page).text
    for expected in (
        "96.7 % of 1,320 test clips correctly (95 % interval",
        "1.62 ms",
        "84,336 bytes",
        "1/38 of the teacher’s",
        "−0.8 percentage points",
        "Missed most: “off”, 106 of 120 clips found; the teacher found 110",
    ):
        assert expected in text


@pytest.mark.usefixtures("without_plots")
def test_a_failed_gate_is_the_first_thing_to_read(report):
    report["gates"][0] |= {"passed": False, "text": "accuracy 4.1 points below the teacher, at most 2.0 allowed"}
    text = Outline(html(report)).text
    assert text.index("1 of 6 checks failed: do not use this model as it is") < text.index(
        "Does it do what the teacher did?"
    )
    assert "✕ failed loss against the teacher: accuracy 4.1 points below" in text
    assert "All 6 checks passed" not in text
    assert "**FAILED**: loss against the teacher" in markdown(report)


@pytest.mark.usefixtures("without_plots")
def test_a_cost_over_its_budget_says_so(report):
    report["target"]["budget"]["latency_ms"] = 1.0
    assert "over the budget of 1 ms" in Outline(html(report)).text
    assert "(exceeded)" in markdown(report)


@pytest.mark.usefixtures("without_plots")
def test_nothing_checked_does_not_read_as_passed(report):
    report["gates"] = []
    text = Outline(html(report)).text
    assert "Nothing was checked" in text and "checks passed" not in text


@pytest.mark.usefixtures("without_plots")
def test_what_was_emulated_or_estimated_says_so_in_its_cell(report):
    report["stages"][-1]["files"][1]["measurements"]["latency_p50"]["how"] = "emulated"
    assert "1.62 ms (emulated)" in Outline(html(report)).text
    assert "[emulated]" in markdown(report).replace("\\", "")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal_table(report))
    assert "1.62 ms [emulated]" in console.export_text()


def test_a_report_without_measurements_still_opens(report):
    for stage in report["stages"]:
        stage.pop("confusion"), stage.pop("reliability")
        for file in stage["files"]:
            file["measurements"], file["shipped"] = {}, False
    report["target"].pop("budget")
    text = Outline(html(report)).text
    assert "No file of this compile ships" in text and "not measured" in text
    assert "No file of this compile ships" in markdown(report)
    assert comparison_html([report])


def test_values_that_json_has_no_number_for_read_as_missing(report):
    for stage in report["stages"]:
        for file in stage["files"]:
            for one in file["measurements"].values():
                one["value"] = one["low"] = one["high"] = None
    assert "nan" not in Outline(html(report)).text.lower().split() and "None" not in Outline(html(report)).text.split()
    assert markdown(report) and terminal_table(report)


@pytest.mark.usefixtures("without_plots")
def test_many_labels_are_listed_instead_of_drawn(report):
    report["labels"] = [f"label {i}" for i in range(50)]
    counts = [[10 if i == j else int(j == i + 1) for j in range(50)] for i in range(50)]
    report["stages"][0]["confusion"] = report["stages"][-1]["confusion"] = counts
    text = Outline(html(report)).text
    assert "Confusion of the model that ships" not in text and "true label answer clips of label 0 label 1 1 11" in text


def test_the_terminal_table_marks_what_ships_and_names_the_device(report):
    console = Console(width=200, record=True, file=io.StringIO())
    report["stages"][1]["name"] = "[bold]odd[/bold]"
    console.print(terminal_table(report))
    text = console.export_text()
    assert re.search(r"int8 +tflite ← ships +96\.7 % \(95\.2 to 98\.0\) +84\.3 kB +1\.62 ms", text)
    assert text.count("ships") == 1 and f"measured on {report['device']}" in text and "[bold]odd[/bold]" in text


@pytest.mark.usefixtures("without_plots")
def test_a_comparison_holds_what_ships_of_every_bundle(report):
    other = copy.deepcopy(report) | {"name": "cough"}
    other["gates"][0]["passed"] = False
    text = Outline(comparison_html([report, other])).text
    other["stages"][-1]["files"][1]["measurements"]["auroc"] = {
        "value": 0.7419,
        "low": 0.69,
        "high": 0.79,
        "unit": "share",
    }
    assert "AUROC" not in text and "0.742 0.690 to 0.790" in Outline(comparison_html([report, other])).text
    assert "2 bundles side by side" in text and "cough" in text and "1 of 6 failed" in text
    with pytest.raises(InputError, match="no report"):
        comparison_html([])


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.0 %"), (0.9999, "99.99 %"), (0.0, "0.0 %"), (0.0002, "0.02 %"), (0.941, "94.1 %"), (None, "–")],
)
def test_percent_never_rounds_up_to_all_or_down_to_nothing(share, text):
    assert say.percent(share) == text


@pytest.mark.parametrize(("share", "text"), [(0.0, "0.0"), (-0.008, "−0.8"), (0.012, "+1.2"), (-0.0003, "−0.03")])
def test_differences_keep_their_sign(share, text):
    assert say.points(share) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999 bytes"), (84_336, "84.3 kB"), (11_480_322, "11.5 MB"), (268_411, "268 kB"), (None, "–")],
)
def test_sizes_are_decimal(number, text):
    assert say.size(number) == text


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_reaches_aa_contrast_in_light_and_dark():
    style = (Path(__file__).parents[1] / "edgecomp" / "report" / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    )
    for theme in (light, dark):
        for text in ("ink", "muted", "accent", "warm", "good", "bad"):
            for back in ("back", "paper", "bad-back", "warm-back", "good-back"):
                bright, dim = sorted((_luminance(theme[text]), _luminance(theme[back])), reverse=True)
                assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, back, theme[text], theme[back])


def test_labels_of_a_plot_do_not_cover_each_other(report):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from edgecomp.report.placing import place_labels

    figure = Figure(figsize=(5.2, 4.2))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 10)
    spots = [(5 + i * 0.02, 5 + (i % 2) * 0.05, f"stage number {i}", "black", i == 3) for i in range(10)]
    place_labels(figure, axes, spots, bars=[], leader="grey")
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 10
    assert not [(a, b) for a in boxes for b in boxes if a is not b and a.overlaps(b)]


def test_two_labels_are_both_told(report):
    report |= {"task": "binary", "labels": ["healthy", "sick"]}
    report["stages"][0]["confusion"], report["stages"][-1]["confusion"] = [[90, 10], [5, 45]], [[88, 12], [9, 41]]
    told = markdown(report)
    assert "Missed most: “sick”, 41 of 50 clips found; the teacher found 45." in told
    assert "The other: “healthy”, 88 of 100 clips found; the teacher found 90." in told
