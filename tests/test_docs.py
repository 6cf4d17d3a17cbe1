"""The documentation is executed: every command that the README shows runs, on a task small enough for a test."""

import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import pytest
import soundfile

from edgecomp import evaluate
from edgecomp.cli import app
from edgecomp.measure import latency
from tests.small_task import RATE, call, tone, write_task

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.startswith("edgecomp ")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder where `keywords` is a small task of that name, and recordings/ holds a folder for each label."""
    folder = tmp_path_factory.mktemp("readme")
    task = write_task(folder / "keywords")
    recipe = task / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "tones"', 'name = "keywords"'))
    for number, label in enumerate(("low", "high") * 30):
        clip = folder / "recordings" / label / f"{number:02}.wav"
        clip.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(clip, tone(label, number), RATE)
    shutil.copytree(task / "data", folder / "other-clinic")
    first = folder / "other-clinic" / "audio" / "000.wav"
    wave, rate = soundfile.read(first)
    soundfile.write(first, 0.5 * wave, rate)  # other recordings, if only a little
    return folder


def test_the_readme_shows_every_command():
    shown = {shlex.split(command)[1] for command in COMMANDS}
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert known - shown <= {"train", "serve-demo"}, "the one is long, the other serves until it is stopped"
    assert "edgecomp serve-demo build/bundles/" in README
    assert "`edgecomp train" in README or "trains it" in README


def test_the_commands_of_the_readme_run_in_their_order(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(evaluate, "latency", partial(latency, min_seconds=0.05))
    monkeypatch.setattr(evaluate, "STARTS", 1)
    for command in COMMANDS:
        words = shlex.split(command)[1:]
        words += ["--seconds", "0.05", "--starts", "1"] if words[0] == "bench" else []
        if words[0] == "compile" and words[1].startswith("my-task"):
            _replace_the_teacher(place)
        done = call(*words)
        # the small task's student is no match for a budget of two points; what it may not do is fail otherwise
        assert done.code == 0 or (words[0] in ("compile", "audit", "parity") and done.code == 3), (
            f"{command}\n{done.err}"
        )
        _accept(place)


def _accept(place: Path) -> None:
    """Take a rejected bundle for an accepted one, so that the commands after it have what they name."""
    for folder in (place / "build" / "bundles").glob("*.rejected"):
        accepted = folder.with_suffix("")
        shutil.rmtree(accepted, ignore_errors=True)
        folder.rename(accepted)


def _replace_the_teacher(place: Path) -> None:
    """Cut the new recipe's work down to a test's: a narrow teacher, few epochs."""
    teacher, recipe = place / "my-task" / "teacher.py", place / "my-task" / "recipe.toml"
    teacher.write_text(teacher.read_text().replace(", classes)\n", ", classes, widths=(8, 8), blocks=(1, 1))\n"))
    recipe.write_text(recipe.read_text() + "\n[distil]\nepochs = 2\n[finetune]\nepochs = 1\n")


def test_links_in_the_documentation_lead_somewhere():
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("models/*/README.md"),
        *ROOT.glob("docs/*.md"),
    ):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
