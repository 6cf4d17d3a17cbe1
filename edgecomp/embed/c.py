"""A bundle as C for a microcontroller: front end, int8 body as an array, decision, and a golden clip that tests them.

The body runs in TensorFlow Lite Micro, or through Vela on an Arm NPU; everything around it is C99 without allocation.
Of docs/embedding.md it keeps rules 1, 2 and 4 to 6 for 16-bit samples at the model's own rate; nothing resamples (rule 3).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.devices.mcu import LARGEST_MEAN
from edgecomp.embed import Selector
from edgecomp.embed.facts import Facts
from edgecomp.errors import BundleError, GateError
from edgecomp.lowering.c_front_end import (
    CNames,
    c_templates,
    exact_features,
    front_end_in_c,
    listener_bytes,
    table_bytes,
)

if TYPE_CHECKING:
    from edgecomp.lowering.feature_body import FeatureBody
    from edgecomp.students.front_end import FrontEnd

TEMPLATES = Path(__file__).parent / "templates" / "c"
WITH_SOURCE = ("decision", "model", "golden", "recording", "live", "ring")
PARTS = (*(f"{part}.{kind}" for part in WITH_SOURCE for kind in ("h", "c")), "names.h")
EXPORTED = (
    *("work", "listener", "frame", "quantise", "clip", "start", "listen", "is_full"),
    *("answer", "labels", "decide", "outcome", "model", "golden_features", "golden_front_end", "golden_answer"),
    *("recording", "recording_begin", "recording_push", "recording_finish"),
    *("live", "heard", "live_begin", "live_hear", "live_due", "live_answer", "live_gap"),
    *("ring", "ring_begin", "ring_write", "ring_read", "ring_waiting", "ring_dropped"),
)
"""Names of functions, data and types; test_embed_c.py holds them against what the object files export."""
TOLD_FIT = {
    "loudest": "the loudest part counts, the first of equals",
    "centre": "the middle counts",
    "start": "the beginning counts",
}
LARGEST_POOL = 8
"""Windows over which a live listener may average at most; each takes 4 bytes for each label and for the uncertainty."""
FEATURE_TOLERANCE = 1e-3
"""Largest difference of a golden feature from float64: float32 stays within 3e-5, and another logf may add to that."""


def files(facts: Facts) -> dict[str, str | bytes]:
    """Return the C module of one version and the header that selects it.

    It states no questions of a form (rule 9): a board without a screen asks nobody, and no answer would change a decision.

    raises: BundleError where the bundle has no int8 TFLite file; a microcontroller runs no other. GateError where its body
            on int8 features answers the golden clips otherwise than the bundle
    """
    from edgecomp.lowering.feature_body import cut_bundle

    if "tflite" not in facts.models:
        raise BundleError(
            "this bundle has no TFLite file, and C for a microcontroller is made from one",
            where=facts.name,
            fix="compile the bundle again with this edgecomp",
        )
    folder = facts.models["tflite"].path.parent
    body = cut_bundle(folder, json.loads((folder / "bundle.json").read_text(encoding="utf-8")))
    names = CNames(facts.name, facts.package, facts.note, header=f"{facts.name}_names.h")
    words = names.words | {
        "facts": facts,
        "body": body,
        "front_end": body.front_end,
        "exported": EXPORTED,
        "positive": None if facts.positive is None else facts.labels.index(facts.positive),
        "ask_above": None if facts.ask_above is None else _at_most(facts.ask_above),
        "shift": np.float32(body.ending.shift),
        "boundary": np.float32(body.ending.boundary),
        "told_fit": TOLD_FIT[facts.fit],
        "largest_pool": LARGEST_POOL,
        "ears": ears(facts.hop_samples, body.front_end),
        "table_bytes": table_bytes(body.front_end),
        "recording_bytes": recording_bytes(facts, body.front_end),
        "live_bytes": live_bytes(facts, body.front_end),
        "model": np.frombuffer(body.content, np.uint8),
        "golden": _golden(facts, body),
    }

    def rendered(template: str) -> str:
        return c_templates(TEMPLATES).get_template(f"{template}.j2").render(words)

    made = front_end_in_c(names, body.front_end, body.scale, body.shift, body.features)
    made |= {f"{facts.name}_{part}": rendered(part) for part in PARTS}
    made |= {f"{facts.name}.h": rendered("all.h"), "README.md": rendered("readme.md")}
    whole: dict[str, str | bytes] = {f"{facts.package}/{name}": text for name, text in made.items()}
    return whole | {f"{facts.name}.h": Selector(rendered("selector.h"))}


def ears(hop_samples: int, front_end: FrontEnd) -> int:
    """Return how many windows of a live stream need frames of their own at a time.

    One will do where each window begins with a frame of the one before; otherwise as many as overlap.
    """
    return 1 if hop_samples % front_end.hop == 0 else -(-front_end.samples // hop_samples)


def recording_bytes(facts: Facts, front_end: FrontEnd) -> int:
    """Return the bytes of RAM that a recording in pieces takes on a processor of 32 bits."""
    more = {"loudest": 24 + 2 * facts.samples, "centre": 2 * facts.samples, "start": 0}  # see recording.h
    return listener_bytes(front_end) + 16 + 2 * facts.samples + more[facts.fit]


def live_bytes(facts: Facts, front_end: FrontEnd) -> int:
    """Return the bytes of RAM that live listening takes on a processor of 32 bits."""
    many = ears(facts.hop_samples, front_end)
    answers = 4 * LARGEST_POOL * (len(facts.labels) + 1)
    return many * listener_bytes(front_end) + (12 + 4 * many if many > 1 else 0) + 44 + answers


def _golden(facts: Facts, body: FeatureBody) -> dict[str, object]:
    """Return what a device has to find again: one frame's features, and the answer to one clip's features.

    frame:    (window,) float32, the loudest of the clip; frame_features: (mels,) computed in float64
    features: (frames × mels) int8 of the clip, by the bundle's own front end; probabilities and uncertainty are the body's
    """
    import soundfile

    from edgecomp.lowering.feature_body import run_part

    clips = np.stack([soundfile.read(one.path, dtype="float32")[0] for one in facts.golden])
    features = body.quantise(run_part(body.front, clips))
    probabilities, uncertainty = body.answers(run_part(body.content, features))
    apart = np.abs(probabilities - [one.probabilities["tflite"] for one in facts.golden]).mean()
    if not apart <= LARGEST_MEAN:
        raise GateError(
            f"on int8 features this bundle answers its golden clips otherwise: probabilities differ by {apart:.3f} in the mean",
            where=facts.name,
            fix=f"do not ship it to a microcontroller: at most {LARGEST_MEAN:g} is asked; compile with another seed",
        )
    wave = clips[0]
    frames = np.lib.stride_tricks.sliding_window_view(wave, body.front_end.window)[:: body.front_end.hop]
    frame = frames[(frames**2).sum(axis=1).argmax()]
    return {
        "clip": facts.golden[0].path.name,
        "frame": frame,
        "frame_features": exact_features(frame[None], body.front_end, body.scale, body.shift)[0],
        "features": features[0].reshape(-1),
        "probabilities": probabilities[0],
        "uncertainty": float(uncertainty[0]),
        "feature_tolerance": FEATURE_TOLERANCE,
        "probability_tolerance": facts.models["tflite"].tolerance,
    }


def _at_most(value: float) -> np.float32:
    """Return the largest float32 that is not above a float64: a float32 is above the one where it is above the other."""
    near = np.float32(value)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) > value else near
