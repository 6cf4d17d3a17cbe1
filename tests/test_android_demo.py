"""The demo app: its core on the JVM, its types, no way to any network, and words in every language."""

import hashlib
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from android_demo.checks import kotlinc, resources
from edgecomp.bundle import read_bundle
from edgecomp.embed import android, embed
from tests.android_tools import have
from tests.small_bundle import write_small_bundle
from tests.small_form import FORM

APP = kotlinc.APP
RESOURCES = APP / "res"
NAME = "{http://schemas.android.com/apk/res/android}"
TOOLS = "{http://schemas.android.com/tools}"
WRAPPER_SHA256 = "55243ef57851f12b070ad14f7f5bb8302daceeebc5bce5ece5fa6edb23e1145c"
"""Of gradle-wrapper.jar as Gradle 9.4.1 ships it; a wrapper starts newer Gradles too."""


def manifest() -> ET.Element:
    return ET.parse(APP / "AndroidManifest.xml").getroot()


def strings(folder: str) -> dict[str, list[str]]:
    tree = ET.parse(RESOURCES / folder / "strings.xml").getroot()
    return {one.attrib["name"]: [one.text or "", *(item.text or "" for item in one)] for one in tree}


@pytest.mark.slow
def test_the_cores_own_tests_pass_on_the_jvm():
    ended = have(kotlinc.run_core_tests)
    assert ended.returncode == 0, ended.stdout[-4000:]
    ran = int(re.search(r"OK \((\d+) tests\)", ended.stdout)[1])
    assert ran == sum(p.read_text().count("@Test") for p in kotlinc.CORE_TESTS.rglob("*Test.kt"))


@pytest.mark.slow
@pytest.mark.parametrize("form", android.OPENERS)
def test_the_apps_types_agree_with_androids_classes(form, tmp_path):
    told = FORM if form == "onnx" else {"questions": []}
    bundle = read_bundle(write_small_bundle(tmp_path / "sounds-anything", form=told))
    embed(bundle, "android", tmp_path / "model", form)
    have(kotlinc.app, have(kotlinc.model_module, tmp_path / "model"), tmp_path / "work")


def test_androids_own_tool_reads_the_resources_and_numbers_the_same_ones(tmp_path):
    def numbered(text: str) -> set[tuple[str, str]]:
        found, kind = set(), ""
        for line in text.splitlines():
            if named := re.search(r"static final class (\w+) \{", line):
                kind = named[1]
            elif named := re.search(r"static final int (\w+) ?=", line):
                found.add((kind, named[1]))
        return found

    ours, theirs = numbered(kotlinc.resource_class()), numbered(have(resources.package, tmp_path))
    assert ours == theirs and len(ours) > 50


def test_the_app_may_use_the_microphone_and_nothing_else():
    asked = {
        one.attrib[f"{NAME}name"] for one in manifest().iter("uses-permission") if not one.attrib.get(f"{TOOLS}node")
    }
    assert asked == {"android.permission.RECORD_AUDIO"}


def test_a_librarys_wish_for_a_network_is_taken_out_again():
    removed = {
        one.attrib[f"{NAME}name"]
        for one in manifest().iter("uses-permission")
        if one.attrib.get(f"{TOOLS}node") == "remove"
    }
    assert removed >= {"android.permission.INTERNET", "android.permission.ACCESS_NETWORK_STATE"}


def test_no_module_asks_for_a_permission():
    assert "uses-permission" not in (android.TEMPLATES / "AndroidManifest.xml").read_text()


def test_nothing_in_the_code_reaches_for_a_network():
    sources = [*APP.rglob("*.kt"), *kotlinc.CORE.rglob("*.kt"), *android.TEMPLATES.rglob("*.kt")]
    assert len(sources) > 20
    for file in sources:
        assert not re.search(r"java\.net|android\.net|HttpURL|WebView|Socket|DownloadManager", file.read_text()), (
            file.name
        )


def test_nothing_is_kept_in_a_backup():
    application = manifest().find("application")
    assert application.attrib[f"{NAME}allowBackup"] == "false"
    assert application.attrib[f"{NAME}dataExtractionRules"] == "@xml/nothing_leaves"
    rules = ET.parse(RESOURCES / "xml" / "nothing_leaves.xml").getroot()
    for kind in ("cloud-backup", "device-transfer"):
        assert {one.attrib["domain"] for one in rules.find(kind)} == {
            "root",
            "file",
            "database",
            "sharedpref",
            "external",
        }


def test_only_the_first_screen_and_the_shells_benchmark_can_be_opened_from_outside():
    opened = {
        one.attrib[f"{NAME}name"]: one.attrib.get(f"{NAME}permission")
        for one in manifest().iter("activity")
        if one.attrib[f"{NAME}exported"] == "true"
    }
    assert opened == {".RecordActivity": None, ".BenchActivity": "android.permission.DUMP"}
    assert {file.stem for file in APP.rglob("*Activity.kt")} == {
        one.attrib[f"{NAME}name"].strip(".") for one in manifest().iter("activity")
    }


def test_every_word_is_there_in_every_language_with_the_same_places_for_values():
    english = strings("values")
    for folder in (p.name for p in RESOURCES.glob("values-*") if (p / "strings.xml").exists()):
        other = strings(folder)
        assert other.keys() == english.keys()
        for name in english:
            places = [sorted(set(re.findall(r"%\d\$\S", " ".join(texts)))) for texts in (english[name], other[name])]
            assert places[0] == places[1], name
            assert other[name] != english[name], name
    assert (RESOURCES / "values-hi" / "strings.xml").exists()


def test_no_layout_and_no_screen_holds_words_of_its_own():
    for file in (RESOURCES / "layout").glob("*.xml"):
        for one in ET.parse(file).getroot().iter():
            for key in ("text", "contentDescription", "hint"):
                assert one.attrib.get(f"{NAME}{key}", "@string/").startswith("@string/"), file.name


def test_every_word_is_used():
    code = "".join(
        p.read_text() for p in [*APP.rglob("*.kt"), *(RESOURCES / "layout").glob("*.xml"), APP / "AndroidManifest.xml"]
    )
    for name in strings("values"):
        assert re.search(rf"(R\.(string|plurals)\.|@string/){name}\b", code), name


def test_what_is_touched_is_at_least_48_dp_high():
    styles = ET.parse(RESOURCES / "values" / "styles.xml").getroot()
    touch = next(one for one in styles if one.attrib["name"] == "Touch")
    height = next(item.text for item in touch if item.attrib["name"] == "android:minHeight")
    assert float(height.removesuffix("dp")) >= 48
    for file in (RESOURCES / "layout").glob("*.xml"):
        for one in ET.parse(file).getroot().iter("Button"):
            assert one.attrib["style"] == "@style/Touch"
            assert float(one.attrib.get(f"{NAME}minHeight", height).removesuffix("dp")) >= 48


def test_the_fields_of_the_form_are_at_least_48_dp_high_and_name_their_question():
    code = (APP / "kotlin" / "edgecomp" / "demo" / "QuestionView.kt").read_text()
    assert int(re.search(r"const val TOUCH_DP = (\d+)", code)[1]) >= 48
    for made in ("RadioButton(activity)", "EditText(activity)"):
        field = code[code.index(made) :].split("}")[0]
        assert "minHeight = dp(TOUCH_DP)" in field
    assert 'button.contentDescription = "$title ${option.second}"' in code and "label.labelFor = input.id" in code


def test_nobody_is_recorded_with_the_answers_of_somebody_else():
    code = (APP / "kotlin" / "edgecomp" / "demo" / "RecordActivity.kt").read_text()
    for place in ("onStop", "failed", "onRequestPermissionsResult", "onActivityResult"):
        assert "answers = null" in code[code.index(f"fun {place}(") :].split("\n    }\n")[0], place
    assert "private var answers: Map<String, Any?>? = null" in code and "onSaveInstanceState" not in code


def test_the_form_and_the_result_say_that_no_answer_changes_it():
    shown = {place: (RESOURCES / "layout" / f"{place}.xml").read_text() for place in ("form", "result")}
    assert "@string/form_note" in shown["form"] and "@string/answers_note" in shown["result"]
    assert "no answer changes what it says" in strings("values")["form_note"][0]
    assert "had no part in this result" in strings("values")["answers_note"][0]


def test_what_changes_by_itself_is_read_aloud():
    spoken = {
        one.attrib[f"{NAME}id"].removeprefix("@+id/")
        for file in (RESOURCES / "layout").glob("*.xml")
        for one in ET.parse(file).getroot().iter()
        if f"{NAME}accessibilityLiveRegion" in one.attrib
    }
    assert spoken >= {"status", "countdown", "loudness", "frame", "problem", "fault"}


def test_an_ask_never_shows_the_models_own_guess():
    shown = (APP / "kotlin" / "edgecomp" / "demo" / "ResultActivity.kt").read_text()
    ask = shown[shown.index("} else {") : shown.index("write(R.id.detail")]
    assert "label" not in ask and "percent" not in ask


def test_versions_are_pinned():
    catalogue = (kotlinc.PROJECT / "gradle" / "libs.versions.toml").read_text()
    versions = re.findall(r'^\w+ = "([^"]+)"$', catalogue, re.MULTILINE)
    assert len(versions) == 2 and all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    wrapper = (kotlinc.PROJECT / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    assert re.search(r"^distributionSha256Sum=[0-9a-f]{64}$", wrapper, re.MULTILINE)
    jar = (kotlinc.PROJECT / "gradle" / "wrapper" / "gradle-wrapper.jar").read_bytes()
    assert hashlib.sha256(jar).hexdigest() == WRAPPER_SHA256


def test_the_app_depends_on_nothing_but_the_model():
    for place in ("app", "core"):
        build = (kotlinc.PROJECT / place / "build.gradle.kts").read_text()
        needs = re.findall(r"^\s+(\w*[iI]mplementation|api)\((.+)\)$", build, re.MULTILINE)
        allowed = {
            "app": [("implementation", 'project(":model")')],
            "core": [("testImplementation", 'kotlin("test-junit")')],
        }
        assert needs == allowed[place]


def test_what_the_checks_read_lies_in_the_project():
    assert {p.name for p in Path(kotlinc.STUBS).rglob("*.java")} == {
        "DataType.java",
        "Interpreter.java",
        "Tensor.java",
        "TensorFlowLite.java",
    }
    for stub in Path(kotlinc.STUBS).rglob("*.java"):
        assert stub.read_text().startswith("// STUB, not LiteRT")
