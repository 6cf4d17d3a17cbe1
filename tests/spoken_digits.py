"""A student of spoken digits that really learned, in seconds, on real recordings; as an int8 bundle, for tests of what ships."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.nn import functional

from edgecomp.data.audio import fit
from edgecomp.students import StudentConfig
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.student import Student, random_student
from tests.shared_data import shared_data
from tests.small_mcu import write_bundle_of

LABELS = tuple("0123456789")
RATE, SAMPLES = 8000, 4000
"""Half a second: some recordings are shorter and some longer, so that padding and the loudest window both count."""
WIDTHS = (16, 24, 16, 24, 16)
EPOCHS, BATCH, LEARNING_RATE = 12, 32, 6e-3
NOISE = 0.3
"""Added to features, in standard deviations: as good as more recordings for so few voices."""
ASK_ABOVE = 0.4
"""Chosen before any front end was asked; between it and both ends lie clips, which the tests hold."""


def clips_of(split: str) -> tuple[list[Path], np.ndarray]:
    """Return the recordings of fsdd's own split and their labels; "test" has 200: five takes of each voice and digit."""
    folder = shared_data("fsdd")
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == split]
    return [folder / row["path"] for row in rows], np.array([LABELS.index(row["label"]) for row in rows])


def heard(files: list[Path]) -> np.ndarray:
    """Return what the model hears of recordings, (n, samples) float32."""
    return np.stack([fit(soundfile.read(file, dtype="float32")[0], SAMPLES, "loudest") for file in files])


def trained_student(waves: np.ndarray, targets: np.ndarray) -> Student:
    """Teach a small student the labels of recordings, the same one at each call on one machine."""
    student = random_student(StudentConfig("ds_cnn", WIDTHS, LABELS, FrontEnd.preset(RATE, SAMPLES)), 0)
    torch.manual_seed(0)
    with torch.no_grad():
        features = student.front_end(torch.from_numpy(waves))
        student.front_end.set_normalisation(features.mean((0, 1)), features.std((0, 1)).clamp_min(0.1))
        features = student.front_end(torch.from_numpy(waves))
    wanted, optimiser = torch.from_numpy(targets), torch.optim.AdamW(student.body.parameters(), LEARNING_RATE)
    steps = EPOCHS * len(waves) // BATCH
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draws = torch.Generator().manual_seed(0)
    student.body.to(memory_format=torch.channels_last).train()
    for _ in range(steps):
        chosen = torch.randint(len(waves), (BATCH,), generator=draws)
        noisy = features[chosen] + NOISE * torch.randn(features[chosen].shape, generator=draws)
        loss = functional.cross_entropy(student.body(noisy), wanted[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return student.eval()


@cache
def _student() -> tuple[Student, np.ndarray]:
    files, targets = clips_of("train")
    waves = heard(files)
    return trained_student(waves, targets), waves


def write_digits_bundle(folder: Path, *, features: bool = False) -> Path:
    """Train the student, once in a process, and write its whole int8 bundle, whose golden clips are from the training split.

    features: in int8 too, as a bundle for a microcontroller has them; otherwise the first layer is float, as on phones
    """
    student, waves = _student()
    return write_bundle_of(
        student,
        folder,
        waves[::20],
        waves[7::200],
        weight_bits=7,
        features=features,
        name="digits",
        summary="Spoken digits",
        labels=list(LABELS),
        deferral={"rule": "uncertainty", "ask_above": ASK_ABOVE},
        preprocessing={"sample_rate": RATE, "samples": SAMPLES, "channels": 1, "fit": "loudest"},
    )
