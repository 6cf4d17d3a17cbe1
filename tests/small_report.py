"""A whole report and its bundle's facts for tests of what is written from them; every figure in them is made up."""

import copy
import hashlib
import json
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "report.json"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


FILES = {name: digest(name) for name in ("model.onnx", "model.tflite", "report.json", "labels.txt", "README.md")}


def plain_report() -> dict:
    """Return a report without audit, calibration and deferral."""
    return json.loads(FIXTURE.read_text(encoding="utf-8"))


def audited_report() -> dict:
    """Return a report with a slice of every verdict, calibration and deferral."""
    report = copy.deepcopy(plain_report())
    report["audit"] = {
        "shipped": "int8",
        "margin": 0.03,
        "confidence": 0.95,
        "slices": [
            _slice("all", "all", 0.960, 0.955, "kept"),
            _slice("accent: scotland", "group", 0.791, 0.882, "lost"),
            _slice("accent: us", "group", 0.900, 0.910, "unclear"),
            _slice("accent: en-029", "group", 0.889, 0.889, "too small"),
            _slice("label: off", "class", 0.850, 0.930, "lost"),
        ],
        "verdicts": {"kept": 1, "lost": 2, "unclear": 1, "too small": 1},
    }
    report["calibration"] = {
        "before": {
            "calibration_error": estimate(0.061),
            "brier": {"value": 0.080, "low": None, "high": None, "n": 500},
        },
        "after": {"calibration_error": estimate(0.021), "brier": {"value": 0.052, "low": None, "high": None, "n": 500}},
    }
    report["deferral"] = {
        "ask_above": 0.3125,
        "max_risk": 0.05,
        "confidence": 0.95,
        "test": {"coverage": estimate(0.83), "risk": estimate(0.021)},
        "text": "It answers 83.0 % of the test clips and asks about the others",
    }
    return report


def facts() -> dict:
    """Return what bundle.json holds: two formats that share every pass but the export."""
    report = plain_report()
    shared = [step for step in report["trail"] if step["name"] in ("build", "distil", "prune", "finetune")]
    last = shared[-1]["output_hash"]
    trail = {
        form: [
            *shared,
            {
                "name": "export",
                "settings": {"runtime": runtime},
                "facts": {"bytes": 84_336},
                "input_hash": last,
                "output_hash": FILES[f"model.{form}"],
                "seed": 0,
            },
        ]
        for form, runtime in (("onnx", "ort"), ("tflite", "litert"))
    }
    return {
        "labels": report["labels"],
        "decision": report["decision"],
        "models": {
            form: {"file": f"model.{form}", "bytes": 84_336, "sha256": FILES[f"model.{form}"], "numerics": "int8"}
            for form in ("onnx", "tflite")
        },
        "preprocessing": {"sample_rate": 16_000, "samples": 16_000, "channels": 1, "fit": "loudest"},
        "signature": {
            "inputs": [
                {
                    "name": "waveform",
                    "shape": [1, 16_000],
                    "dtype": "float32",
                    "unit": "amplitude, -1 to 1, 16000 Hz, mono",
                }
            ],
            "outputs": [
                {"name": "probabilities", "shape": [1, 11], "dtype": "float32", "unit": "probability of each label"}
            ],
        },
        "data_fingerprint": digest("data"),
        "teacher": {"name": "keywords residual net", "fingerprint": digest("teacher")},
        "trail": trail,
    }


def hostile(report: dict, text: str) -> dict:
    """Put a text into every place of a report that a user or a user's data can write to."""
    made = copy.deepcopy(report)
    made["labels"][2] = made["name"] = made["summary"] = made["warnings"][0] = made["device"] = text
    made["data"]["source"] = made["data"]["licence"] = made["data"]["groups"][0] = text
    made["teacher"]["name"] = made["teacher"]["licence"] = made["target"]["name"] = made["target"]["summary"] = text
    made["gates"][0] |= {"text": text, "passed": False}
    made["trail"][0]["settings"] = {"family": text}
    for one in (made.get("audit") or {}).get("slices") or []:
        one["slice"] = text
    if made.get("deferral"):
        made["deferral"]["text"] = text
    return made


def estimate(value: float, n: int = 500) -> dict:
    return {"value": value, "low": round(value - 0.02, 4), "high": round(value + 0.02, 4), "n": n}


def _slice(name: str, kind: str, ships: float, teacher: float, verdict: str) -> dict:
    return {
        "slice": name,
        "kind": kind,
        "metric": "accuracy",
        "n": 110,
        "subjects": 3,
        "values": {
            "teacher": estimate(teacher, 110),
            "distilled": estimate(teacher, 110),
            "int8": estimate(ships, 110),
        },
        "difference": estimate(round(ships - teacher, 4), 110),
        "p": 0.3,
        "holm_p": 1.0,
        "verdict": verdict,
    }
