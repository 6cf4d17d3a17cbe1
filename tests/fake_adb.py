"""A pretended `adb` for the states that a real adbd on Linux cannot show; see test_adb.py.

Beside the program lies state.json: {"devices": text, "shell": {regex: [[code, stdout, stderr], …]}, "push": […],
"reports": [report or null, …], "state": […]}. Each list is answered in turn, and its last entry from then on.
A report's model_sha256 may be "as asked".
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Answer one command."""
    state = json.loads((HERE / "state.json").read_text())
    arguments = sys.argv[1:]
    if arguments[0] == "devices":
        leave(0, state["devices"])
    _, _, verb, *rest = arguments
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{verb} {' '.join(rest)}\n")
    if verb == "get-state":
        said = turn("state", state.get("state", ["device"]))
        leave(0 if said == "device" else 1, f"{said}\n", "" if said == "device" else "error: device not found\n")
    if verb == "push":
        leave(*turn("push", state.get("push", [[0, "", ""]])))
    if verb == "pull":
        report = turn("reports", state["reports"])
        if report is None:
            leave(1, "", f"adb: error: failed to stat remote object '{rest[0]}': No such file or directory\n")
        if isinstance(report, list):
            leave(*report)
        if report["model_sha256"] == "as asked":
            asked = re.search(r"--es model (\w+)", (HERE / "calls").read_text().rpartition("am start")[2])
            report["model_sha256"] = asked[1] if asked else state["embedded"]
        Path(rest[1]).write_text(json.dumps(report))
        leave(0)
    for pattern, answers in state["shell"].items():
        if re.search(pattern, rest[0]):
            leave(*turn(pattern, answers))
    leave(0)


def turn(key: str, answers: list):
    """Return the next answer of a list, and its last one from then on."""
    place = HERE / "turns.json"
    turns = json.loads(place.read_text()) if place.exists() else {}
    turns[key] = turns.get(key, -1) + 1
    place.write_text(json.dumps(turns))
    return answers[min(turns[key], len(answers) - 1)]


def leave(code: int, out: str = "", complaint: str = "") -> None:
    """Write and end."""
    sys.stdout.write(out)
    sys.stderr.write(complaint)
    sys.exit(code)


if __name__ == "__main__":
    main()
