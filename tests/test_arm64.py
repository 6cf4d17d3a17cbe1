"""devices/arm64: an emulated core that says which one it is and answers like x86; and how its folder is put together."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecomp.devices import Device, Effort, ModelFile, _arm64_root, _debian, _emulated, arm64, open_device
from edgecomp.errors import DeviceError
from edgecomp.metrics import is_constant
from tests.small_bundle import RATE, SAMPLES, small_models
from tests.small_students import sounds

CACHE = Path(os.environ.get("EDGECOMP_ARM64", Path(__file__).parents[1] / "build"))
"""The build folder in which `edgecomp devices prepare arm64` has put it."""
CLIPS = sounds(3, SAMPLES, rate=RATE)
VERSIONS = {"qemu": "10.0.2", "python": "3.11.2", "onnxruntime": "1", "ai-edge-litert": "2"}


@pytest.fixture(scope="module")
def prepared() -> Path:
    if missing := arm64.missing(CACHE):
        pytest.skip(f"{missing}: edgecomp devices prepare arm64, or EDGECOMP_ARM64=folder")
    return CACHE


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = small_models(tmp_path_factory.mktemp("models"))
    return {form: ModelFile(f"small {form}", artifact.path, form) for form, artifact in made.items()}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A prepared folder as far as its files go; nothing in it runs."""
    place = tmp_path / "devices" / "arm64"
    (place / "root" / _arm64_root.SITE).mkdir(parents=True)
    (place / "root" / "usr" / "bin").mkdir(parents=True)
    (place / "root" / "usr" / "bin" / "python3.11").touch()
    (place / "qemu-aarch64").touch(mode=0o755)
    (place / _arm64_root.SEAL).write_text(_seal())
    return place


def _seal() -> str:
    return json.dumps({"versions": VERSIONS, "packages": []})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("core", "has", "lacks"),
    [
        ("cortex-a53", {"asimd"}, {"asimddp", "sve2"}),
        ("cortex-a76", {"asimddp"}, {"i8mm", "sve2"}),
        ("cortex-a710", {"asimddp", "i8mm", "bf16", "sve2"}, set()),
    ],
)
def test_an_emulated_core_says_itself_which_one_it_is(prepared, core, has, lacks):
    with open_device(f"arm64:{core}", prepared) as device:
        assert isinstance(device, Device) and device.how == "emulated"
        facts = device.describe()
    assert facts["core_names"] == [arm64.CORES[core]] and facts["isa"] == "aarch64"
    assert has <= set(facts["features"]) and not lacks & set(facts["features"])
    assert facts["dot_product"] is ("asimddp" in has)
    assert f"{arm64.CORES[core]} (qemu-aarch64 " in facts["name"] and facts["name"].endswith("emulated)")
    assert all(facts[name] is None for name in _emulated.OF_THE_HOST), "these are of the machine that emulates"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_an_emulated_a53_answers_like_this_machine(prepared, models, form):
    with open_device("arm64", prepared) as device, open_device("host") as here:
        there, expected = device.answers(models[form], CLIPS), here.answers(models[form], CLIPS)
    assert not is_constant(there.probabilities) and there.runtime == expected.runtime
    assert np.abs(there.probabilities - expected.probabilities).max() < 1e-6
    assert np.abs(there.uncertainty - expected.uncertainty).max() < 1e-6


@pytest.mark.slow
def test_emulated_times_carry_no_heat_and_no_energy_and_there_are_no_starts(prepared, models):
    with open_device("arm64", prepared) as device:
        timing = device.time([models["tflite"]], CLIPS, Effort(seconds=0.1, windows=2, warmup=2))
        assert device.starts(models["tflite"], SAMPLES) == ()
    assert len(timing.windows) >= 2 and timing.runtimes["small tflite"].startswith("LiteRT ")
    for window in timing.windows:
        assert window.median_ms["small tflite"] > 0
        assert not window.energy_uj and window.temperature_c is None and window.battery is None


def test_another_core_than_was_asked_for_is_refused(folder, monkeypatch):
    said = {"core_names": ["Cortex-A72"], "midr": ["0x41:0xd08:r0"]}
    monkeypatch.setattr(_emulated.Local, "describe", lambda self: said)
    with (
        open_device("arm64:cortex-a53", folder.parents[1]) as device,
        pytest.raises(DeviceError, match="says that it is Cortex-A72") as caught,
    ):
        device.describe()
    assert "Cortex-A53 was asked for" in caught.value.fix


def test_a_core_is_a53_where_none_is_named_and_an_unknown_one_is_refused(folder):
    with open_device("arm64", folder.parents[1]) as device:
        assert device.name == "arm64 Cortex-A53 (qemu-aarch64 10.0.2, emulated)"
    with pytest.raises(DeviceError, match="unknown core 'max'") as caught:
        open_device("arm64:max", folder.parents[1])
    assert "allowed: cortex-a53, cortex-a710, cortex-a76" in caught.value.fix


@pytest.mark.parametrize("harm", ["absent", "unsealed", "damaged", "no qemu", "no python", "no wheels"])
def test_what_is_not_wholly_prepared_names_the_command(folder, harm):
    if harm == "absent":
        shutil.rmtree(folder)
    elif harm == "unsealed":
        (folder / _arm64_root.SEAL).unlink()
    elif harm == "damaged":
        (folder / _arm64_root.SEAL).write_text(_seal()[:20])
    elif harm == "no qemu":
        (folder / "qemu-aarch64").unlink()
    elif harm == "no python":
        (folder / "root" / "usr" / "bin" / "python3.11").unlink()
    else:
        shutil.rmtree(folder / "root" / _arm64_root.SITE)
    with pytest.raises(DeviceError, match="is not prepared") as caught:
        open_device("arm64", folder.parents[1])
    assert caught.value.fix == "edgecomp devices prepare arm64"
    assert arm64.missing(folder.parents[1]) == "the arm64 emulation is not prepared"


def test_a_folder_with_the_versions_of_this_environment_is_not_built_again(folder, monkeypatch):
    monkeypatch.setattr(_arm64_root.metadata, "version", VERSIONS.get)
    monkeypatch.setattr(_arm64_root, "_build", lambda *given: pytest.fail("it was built again"))
    assert arm64.prepare(folder.parents[1]) == folder / "root"


def test_a_folder_with_other_versions_is_built_again_and_replaced_at_once(folder, monkeypatch):
    def build(work, wanted):
        shutil.copytree(folder, work)
        (work / _arm64_root.SEAL).write_text(_seal().replace('"1"', f'"{wanted["onnxruntime"]}"'))
        assert folder.exists(), "the old one serves until the new one is whole"

    monkeypatch.setattr(_arm64_root.metadata, "version", lambda name: "9" if name == "onnxruntime" else VERSIONS[name])
    monkeypatch.setattr(_arm64_root, "_build", build)
    arm64.prepare(folder.parents[1])
    assert _arm64_root.find_root(folder.parents[1]).versions["onnxruntime"] == "9"
    assert sorted(one.name for one in folder.parent.iterdir()) == ["arm64", "arm64.lock"]


def test_a_prepare_that_fails_or_was_killed_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "devices" / "arm64-killed").mkdir(parents=True)

    def fails(work, wanted):
        work.mkdir()
        (work / "half").touch()
        raise DeviceError("no mirror")

    monkeypatch.setattr(_arm64_root, "_build", fails)
    with pytest.raises(DeviceError, match="no mirror"):
        arm64.prepare(tmp_path)
    assert [one.name for one in (tmp_path / "devices").iterdir()] == ["arm64.lock"]


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def fails(work, wanted):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_arm64_root, "_build", fails)
    with pytest.raises(DeviceError, match="No space left on device") as caught:
        arm64.prepare(tmp_path)
    assert "500 MB" in caught.value.fix


def test_the_emulated_python_sees_nothing_of_this_machines_settings(folder):
    command = _arm64_root.find_root(folder.parents[1]).command("cortex-a76", ["x.py"])
    assert command[:2] == ["env", "-i"] and command[-2:] == ["-sS", "x.py"]
    assert command[command.index("-cpu") + 1] == "cortex-a76" and not any("HOME" in part for part in command)


def test_without_debians_tools_it_says_where_to_prepare(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="there is no apt-get here") as caught:
        _debian.Apt(tmp_path / "apt", "arm64", _arm64_root.OTHERWISE)
    assert "Debian 12 or newer" in caught.value.fix and "ssh:USER@HOST" in caught.value.fix


TOOLS = {
    "apt-get": 'case "$*" in *indextargets*) cat sources;; *) echo "$*" >> calls; exec sh ./answer "$*";; esac',
    "apt-cache": 'case "$*" in *madison*) cat madison;; *) printf "python3-minimal\\n  Depends: python3.11-minimal\\n";; esac',
    "dpkg": "echo amd64",
    "dpkg-deb": "true",
}


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stand-ins for Debian's tools that answer from files, and a place for those."""
    (tmp_path / "bin").mkdir()
    for name, text in TOOLS.items():
        tool = tmp_path / "bin" / name
        tool.write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        tool.chmod(0o755)
    for name, text in (
        ("sources", "mirror:/other bookworm contrib\nmirror:/debian bookworm main\n"),
        ("answer", "exit 0"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(_debian, "PAUSES_S", (0, 0))
    return tmp_path


def _apt(tools: Path) -> _debian.Apt:
    return _debian.Apt(tools / "apt", "arm64", _arm64_root.OTHERWISE, tools / "os-release")


def test_the_mirror_is_the_one_of_this_machine_with_backports_where_qemu_is_old(tools):
    _apt(tools)
    rows = [line.split()[-3:] for line in (tools / "apt" / "sources.list").read_text().splitlines()]
    assert rows == [["mirror:/debian", "bookworm", "main"], ["mirror:/debian", "bookworm-backports", "main"]]
    shutil.rmtree(tools / "apt")
    (tools / "os-release").write_text("ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n")
    (tools / "sources").write_text("mirror:/debian trixie main\n")
    _apt(tools)
    assert len((tools / "apt" / "sources.list").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("release", "what"),
    [
        ('ID=ubuntu\nPRETTY_NAME="Ubuntu 24.04"\n', "this is Ubuntu 24.04"),
        ("ID=debian\nVERSION_ID=11\nVERSION_CODENAME=bullseye\n", "this is Debian 11"),
        ("ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n", "no Debian mirror"),
        ("", "an unknown system"),
    ],
)
def test_a_system_that_cannot_serve_is_refused_with_its_name(tools, release, what):
    (tools / "os-release").write_text(release)
    with pytest.raises(DeviceError, match=what):
        _apt(tools)


def test_a_mirror_in_the_middle_of_its_update_is_tried_again(tools):
    (tools / "answer").write_text('[ "$(wc -l < calls)" -gt 2 ] || { echo "E: Hash Sum mismatch" >&2; exit 100; }')
    _apt(tools).fetch_with_dependencies("libstdc++6")
    wanted = ("install --download-only --yes libstdc++6", "update", "install --download-only --yes libstdc++6")
    calls = (tools / "calls").read_text().splitlines()
    assert len(calls) == 3 and all(call.endswith(f" {end}") for call, end in zip(calls, wanted, strict=True))


def test_a_list_that_could_not_be_fetched_is_no_success(tools):
    (tools / "answer").write_text('echo "W: Failed to fetch mirror:/debian" >&2')
    with pytest.raises(DeviceError, match="apt cannot fetch the lists of packages: W: Failed to fetch") as caught:
        _apt(tools).update()
    assert "in some minutes" in caught.value.fix and len((tools / "calls").read_text().splitlines()) == 3


def test_only_a_version_that_is_new_enough_is_fetched(tools):
    rows = ("1:10.0.2+ds-2~bpo12+1", "1:7.2+dfsg-7")
    (tools / "madison").write_text("".join(f" qemu-user | {one} | mirror:/debian\n" for one in rows))
    (tools / "answer").write_text("touch apt/qemu-user-alone/qemu-user_10_amd64.deb")
    assert _apt(tools).fetch("qemu-user", "amd64", 10).name == "qemu-user_10_amd64.deb"
    assert (tools / "calls").read_text().strip().endswith("download qemu-user:amd64=1:10.0.2+ds-2~bpo12+1")


def test_a_mirror_without_a_new_enough_version_is_said(tools):
    (tools / "madison").write_text(" qemu-user | 1:7.2+dfsg-7 | mirror:/debian\n")
    with pytest.raises(DeviceError, match=r"qemu-user 10 or newer is not offered; there is 1:7\.2") as caught:
        _apt(tools).fetch("qemu-user", "amd64", 10)
    assert "backports" in caught.value.fix


def test_the_python_of_the_release_is_found_by_what_depends_on_it(tools):
    assert _apt(tools).depends("python3-minimal", "python3.") == "python3.11-minimal"


def test_pip_is_missing_or_fails_with_its_last_words(tmp_path, monkeypatch):
    def fails(command, **_):
        return subprocess.CompletedProcess(command, 1, "", f"{sys.executable}: No module named pip\n")

    monkeypatch.setattr(_arm64_root.subprocess, "run", fails)
    with pytest.raises(DeviceError, match="No module named pip") as caught:
        _arm64_root._install(tmp_path, {"onnxruntime": "1"}, 11, 36)
    assert caught.value.fix.startswith("python -m ensurepip")
