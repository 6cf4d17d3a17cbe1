"""Small data sets that tests write: tones in folders, a manifest, and a recipe that reads them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

from edgecomp.recipe import Recipe, read_recipe

RATE = 8000


def write_clip(file: Path, number: int, *, seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> Path:
    """Write a file of seeded noise, a different one for each number, in the format of its ending."""
    wave = 0.2 * np.random.default_rng(number).standard_normal((round(seconds * rate), channels))
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, wave, rate)
    return file


def write_table(folder: Path, rows: list[dict[str, str]], name: str = "metadata.csv") -> Path:
    """Write rows as a CSV."""
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def write_data(folder: Path, *, clips: int = 48, speakers: int = 8, split: bool = False) -> list[dict[str, str]]:
    """Write clips of two labels by some speakers, and their CSV; returns the rows."""
    rows = []
    for number in range(clips):
        speaker = number // 2 % speakers
        side = ("train", "train", "validation", "test")[speaker % 4]
        rows.append(
            {
                "path": f"audio/{number:03}.wav",
                "label": ("no", "yes")[number % 2],
                "speaker": f"s{speaker}",
                "place": ("hall", "street")[speaker // 4 % 2],
                "age": str(20 + number),
            }
            | ({"split": side} if split else {})
        )
        write_clip(folder / rows[-1]["path"], number)
    write_table(folder, rows)
    return rows


def write_recipe(folder: Path, data: Path, lines: str = "", **settings: str) -> Recipe:
    """Write and read a recipe; lines go under [data], settings replace its keys (given as TOML)."""
    keys = {"path": f'"{data.as_posix()}"', "sample_rate": str(RATE), "seconds": "0.5"} | settings
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(f"{key} = {value}" for key, value in keys.items() if value)
    (folder / "recipe.toml").write_text(f'name = "small"\n[data]\n{text}\n{lines}\n', encoding="utf-8")
    return read_recipe(folder)
