"""Visit a built demo page in a real Chromium; as a script, take the pictures of docs/pictures.

`python -m tests.web_page BUNDLE CLIP ASKED FOLDER`: CLIP is one that the bundle answers, ASKED one that it asks about.
A bundle with a form gives the pictures of the form, and every other the pictures of all other screens. Hindi needs a font
(Debian: fonts-noto-core).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import demo
from edgecomp.devices._browser_chromium import find_chromium

BUILD = Path(__file__).parents[1] / "build"


def tools() -> Path:
    """Return the page's folder with the packages of its tests; raises EdgecompError where something lacks."""
    find_chromium()
    return demo.prepare(BUILD, testing=True)


def visit(folder: Path, job: str, url: str, **asked: Any) -> dict[str, Any]:
    """Do one job of web/demo/test/page.mjs."""
    given = {"job": job, "url": url, "chromium": find_chromium(), **asked}
    done = subprocess.run(
        ["node", "test/page.mjs"],
        cwd=folder,
        input=json.dumps(given, default=str),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={**os.environ, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def write_microphone(path: Path, wave: np.ndarray, rate: int) -> Path:
    """Write what the fake microphone hears: half a second of silence, the clip once, and silence."""
    import soundfile

    silence = np.zeros(rate // 2, np.float32)
    soundfile.write(path, np.concatenate([silence, wave, np.tile(silence, 10)]), rate, subtype="PCM_16")
    return path


def main(bundle: str, clip: str, asked: str, folder: str) -> None:
    """Take a picture of every screen."""
    import soundfile

    from edgecomp.bundle import read_bundle

    page, opened = tools(), read_bundle(Path(bundle))
    with tempfile.TemporaryDirectory() as work:
        site = demo.build_demo(opened, Path(work) / "site", cache=BUILD)
        heard = write_microphone(Path(work) / "heard.wav", *soundfile.read(clip, dtype="float32"))
        unsure = Path(work) / "asked.wav"
        sound, rate = soundfile.read(asked, dtype="float32")
        soundfile.write(unsure, sound, rate, subtype="FLOAT")
        with demo.DemoServer(site) as server:
            if opened.form.questions:
                answers = [keys(one.kind) for one in opened.form.questions]
                given = {"answers": answers, "others": answers, "pictures": Path(folder).resolve()}
                visit(page, "form", server.address, clip=heard, clips=[unsure], **given)
                return
            visit(page, "tour", server.address, clip=heard, ask=unsure, pictures=Path(folder).resolve())
            visit(page, "blocked", server.address, damages=["model/facts.json"], pictures=Path(folder).resolve())


def keys(kind: str) -> list[str]:
    """Return the keys that answer a question: yes, the second option, or 12."""
    return {"yes-no": ["Space"], "choice": ["ArrowDown"], "number": ["1", "2"]}[kind]


if __name__ == "__main__":
    main(*sys.argv[1:])
