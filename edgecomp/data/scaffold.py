"""A first recipe for somebody's own data: looks at a folder of audio or a CSV and writes commented TOML."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from edgecomp.data.audio import SUFFIXES
from edgecomp.data.rows import AUDIOFOLDER, find_audio, read_table, split_names
from edgecomp.errors import DataError
from edgecomp.progress import quiet_libraries
from edgecomp.recipe import Split

LOOKED_AT = 500
"""Files whose headers are read to guess rate and length; spread evenly over the list."""

MOST_GROUP_VALUES = 12
"""A column with more values than this is not offered as a group: its slices would be too small to judge."""

LONG_ENOUGH = 0.95
"""Share of the clips that the guessed `seconds` holds whole."""

_NAMES = {
    "label": ("label", "class", "category", "target", "keyword", "word", "diagnosis", "status"),
    "subject": (
        "subject",
        "subject_id",
        "speaker",
        "speaker_id",
        "patient",
        "patient_id",
        "participant",
        "participant_id",
        "person",
        "user",
        "user_id",
        "client_id",
        "voice",
        "voice_cluster",
        "uuid",
    ),
    "split": ("split", "fold", "subset", "partition", "set"),
}
_NOT_GROUPS = ("duration", "seconds", "length", "size", "bytes", "md5", "sha", "take", "filename", "file_name")
_COUNTERS = ("", "id", "index", "row", "number", "nr")


@dataclass(frozen=True)
class _Guess:
    """What the data seem to be; lines for the recipe come from here."""

    folder: Path
    manifest: str
    files: tuple[str, ...]
    labels: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)  # "path", "label", "subject", "split" → column
    groups: tuple[str, ...] = ()
    numbers: Mapping[str, list[float]] = field(default_factory=dict)
    split_values: tuple[str, ...] = ()


def scaffold(source: Path, name: str) -> str:
    """Write the text of a recipe.toml that loads the given data, each guess with its reason.

    source: a folder of audio (one folder a label, as Hugging Face's audiofolder), a folder with a CSV, or a CSV
    name:   what to call the task; made lower case, with dashes for what a name cannot hold
    raises: DataError if there is no audio, no label, or a CSV without a column of audio files
    """
    guess = _look(source)
    rate, seconds, seen = _rate_and_length(guess)
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "task"
    return _TEMPLATE.format(
        name=_toml(slug),
        count=len(guess.files),
        path=_toml(guess.folder.resolve().as_posix()),
        manifest=_toml(guess.manifest),
        columns=_column_lines(guess),
        labels=_wrapped(guess.labels),
        rate=rate,
        seconds=seconds,
        seen=seen,
        split=_split_lines(guess),
    )


def _look(source: Path) -> _Guess:
    if source.is_file():
        return _look_at_table(source)
    if not source.is_dir():
        raise DataError("there is no such folder or CSV", where=source, fix="give a folder of audio, or a CSV file")
    tables = sorted(source.glob("*.csv"))
    chosen = [table for table in tables if table.name == "metadata.csv"] or tables
    if chosen:
        columns = [column.lower() for column in read_table(chosen[0])[0]]
        if "file_name" not in columns or set(columns) & set(_NAMES["label"]):
            return _look_at_table(chosen[0])
    return _look_at_folders(source)  # Hugging Face's metadata.csv without labels: the folders' names are the labels


def _look_at_folders(folder: Path) -> _Guess:
    files = find_audio(folder)
    if not files:
        raise DataError(
            "there is no audio below this folder", where=folder, fix=f"edgecomp reads {', '.join(SUFFIXES)}"
        )
    parts = [PurePosixPath(file).parts for file in files]
    is_split = {p[0] for p in parts} <= set(split_names(Split()))
    labels = {p[is_split] for p in parts if len(p) > 1 + is_split}
    if len(labels) < 2:
        raise DataError(
            f"{len(labels)} labels found in the folders' names",
            where=folder,
            fix="put the clips of each label into a folder of its name, or write a CSV with path and label",
        )
    sides = tuple(sorted({p[0] for p in parts})) if is_split else ()
    return _Guess(folder, AUDIOFOLDER, tuple(files), tuple(sorted(labels)), split_values=sides)


def _look_at_table(table: Path) -> _Guess:
    columns, numbered = read_table(table)
    rows = [row for _, row in numbered]
    path = next((c for c in columns if rows and all(r[c].lower().endswith(SUFFIXES) for r in rows)), None)
    if path is None:
        raise DataError(
            "no column holds the names of audio files",
            where=table,
            fix=f"add one, relative to the CSV's folder, ending in {', '.join(SUFFIXES)}; "
            f"it has {', '.join(columns) or 'no columns'}",
        )
    distinct = {c: {r[c] for r in rows if r[c]} for c in columns}
    few = [c for c in columns if c != path and 2 <= len(distinct[c]) <= MOST_GROUP_VALUES]
    found = {"path": path}
    for role, names in _NAMES.items():
        known = [c for n in names for c in columns if c.lower() == n and c != path and distinct[c]]
        if known:
            found[role] = known[0]
    label = found.setdefault("label", next((c for c in few if c not in found.values()), ""))
    if not label or len(distinct[label]) < 2:
        raise DataError("no column looks like a label", where=table, fix="call it 'label', with at least two values")
    rest = [
        c
        for c in columns
        if c not in found.values() and c.lower() not in _COUNTERS and not any(word in c.lower() for word in _NOT_GROUPS)
    ]
    numbers = {c: _cuts(distinct[c]) for c in rest if c not in few and _are_numbers(distinct[c])}
    return _Guess(
        table.parent,
        table.name,
        tuple(r[path] for r in rows),
        tuple(sorted(distinct[label])),
        found,
        tuple(c for c in rest if c in few),
        {c: cuts for c, cuts in numbers.items() if cuts},
        tuple(sorted(distinct[found["split"]])) if "split" in found else (),
    )


def _rate_and_length(guess: _Guess) -> tuple[int, float, str]:
    """Guess the sample rate (16 or 8 kHz) and a length that holds most clips, from the files' headers."""
    import soundfile

    rates, lengths = Counter(), []
    with quiet_libraries():
        for file in guess.files[:: math.ceil(len(guess.files) / LOOKED_AT)]:
            try:
                info = soundfile.info(guess.folder / file)
            except (soundfile.LibsndfileError, OSError, RuntimeError):
                continue  # `edgecomp check` names it
            rates[info.samplerate] += 1
            lengths.append(info.duration)
    if not lengths:
        raise DataError(
            f"none of the {len(guess.files)} audio files can be read, such as {guess.files[0]!r}",
            where=guess.folder,
            fix="paths in a CSV are relative to the CSV's folder",
        )
    common = rates.most_common(1)[0][0]
    seconds = min(30.0, max(0.5, math.ceil(np.quantile(lengths, LONG_ENOUGH) * 2 - 0.02) / 2))
    seen = f"most files have {common} Hz; {LONG_ENOUGH:.0%} are at most {np.quantile(lengths, LONG_ENOUGH):.2f} s long"
    return (16_000 if common >= 16_000 else 8_000), seconds, seen


def _column_lines(guess: _Guess) -> str:
    lines = []
    if "path" in guess.columns:
        lines += [f"path_column = {_toml(guess.columns['path'])}", f"label_column = {_toml(guess.columns['label'])}"]
    if "subject" in guess.columns:
        lines.append(f"subject = {_toml(guess.columns['subject'])}    # nobody may stand on two sides of the split")
    else:
        lines.append('# subject = "speaker"    # name the column that says who speaks: without it, scores flatter')
    lines.append(f"groups = [{', '.join(map(_toml, guess.groups))}]    # for whom results are shown one by one")
    if guess.numbers:
        bins = ", ".join(f"{_toml(column)} = {cuts}" for column, cuts in guess.numbers.items())
        lines.append(f"# bins = {{ {bins} }}    # number columns, cut into groups at these points")
    return "\n".join(lines)


def _split_lines(guess: _Guess) -> str:
    sides = _sides(guess.split_values)
    if sides is None:
        return (
            "# No column says who trains and who tests: subjects (or clips) are drawn, under the seed.\n"
            "fractions = [0.7, 0.15, 0.15]    # train, validation, test"
        )
    lines = [f"column = {_toml(guess.columns['split'])}"] if "split" in guess.columns else []
    lines += [f"{side} = [{', '.join(map(_toml, values))}]" for side, values in sides.items()]
    if not sides["validation"]:
        lines.append("validation_from_train = 0.15    # the data name no validation clips")
    return "\n".join(lines)


def _sides(values: Sequence[str]) -> dict[str, list[str]] | None:
    """Sort a split column's values into splits; of numbered folds the last tests and the one before validates."""
    known = split_names(Split())
    meant = {value: known.get(value.lower(), "test" if value.lower() == "testing" else None) for value in values}
    if {"train", "test"} <= set(meant.values()) and None not in meant.values():
        return {side: [v for v in values if meant[v] == side] for side in ("train", "validation", "test")}
    if len(values) >= 3 and all(value.isdigit() for value in values):
        folds = sorted(values, key=int)
        return {"train": folds[:-2], "validation": folds[-2:-1], "test": folds[-1:]}
    return None


def _are_numbers(values: set[str]) -> bool:
    return bool(values) and all(_number(value) is not None for value in values)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _cuts(values: set[str]) -> list[float]:
    """Return two cut points that make three groups of about equally many different values."""
    if not _are_numbers(values):
        return []
    numbers = [number for value in values if (number := _number(value)) is not None and math.isfinite(number)]
    return sorted({float(f"{cut:.3g}") for cut in np.quantile(numbers, [1 / 3, 2 / 3])}) if numbers else []


def _toml(text: str) -> str:
    """Write a TOML string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrapped(items: Sequence[str]) -> str:
    """Write a TOML list, over several lines where it is long."""
    one = f"[{', '.join(map(_toml, items))}]"
    return one if len(one) <= 100 else "[\n" + "".join(f"  {_toml(item)},\n" for item in items) + "]"


_TEMPLATE = """\
# Written by `edgecomp init` from {count} audio files. Every line is a guess that you may correct.
# Next: `edgecomp check` on this folder, then `edgecomp train`, then `edgecomp compile`.
name = {name}
summary = "What the model is for, in one sentence"
seed = 0

[data]
path = {path}    # may also be relative to this file
manifest = {manifest}
source = "not stated"     # where the data come from, and …
licence = "not stated"    # … under which licence: both go into the model card
labels = {labels}
{columns}
sample_rate = {rate}    # {seen}
seconds = {seconds}
fit = "loudest"    # longer clips: keep the loudest part; or "centre", "start"

[data.split]
{split}

[data.resolve]
# `edgecomp check` names the faults. Each stops a compile until you say here what to do with it:
# conflicts = "drop"         # equal audio under different labels
# duplicates = "keep-one"    # equal audio under one label
# leaks = "keep-test"        # one subject on two sides of the split
# unreadable = "drop"        # files that do not decode
# silent = "drop"            # clips without a sound; or "keep"

[teacher]
# The large model to learn from. Here: your own torch module, trained by `edgecomp train`.
# teacher.py lies beside this file and defines build() -> torch.nn.Module.
kind = "torch"
path = "teacher.py"
# Or a transformers model for audio classification, as a local folder or a hub name:
# kind = "transformers"
# path = "path/to/folder"
# Or a model file, of which only the outputs are seen; with head = true, a small head on them learns your labels:
# kind = "litert"            # or "onnx"
# path = "model.tflite"      # or "model.onnx"
# head = true
licence = "not stated"
outputs_may_train = "unknown"    # "yes", "no": does the teacher's licence let its outputs train another model?

[student]
family = "ds_cnn"

[gates]
max_loss = 0.03          # the compile fails if the student loses more accuracy than this against the teacher
max_slice_loss = 0.05    # … or more than this, beyond chance, on a label or a group

[deferral]
max_risk = 0.05          # it leaves clips to the teacher, so that at most this share of its own answers is wrong
# teacher_call_cost = 0.40   # what a question to the teacher costs, and a local answer: the report then says what pays
# local_call_cost = 0.001

[report]
voices = true            # false: forgotten clips are listed without their sounds, which are people's voices

# What an app asks before it records; kept beside the result on the device, and never heard by the model. In docs/embedding.md.
# [[form.questions]]
# id = "fever"
# text = {{ en = "Does the person have a fever?" }}    # and one for each other language
# kind = "yes-no"                                    # or "choice" with options, or "number" with min and max
"""


def scaffold_teacher() -> str:
    """Return the teacher.py that goes with a new recipe: our own residual net, to be replaced by a better one."""
    return '''"""The teacher: any nn.Module from waveforms (n, samples) to logits (n, classes), far larger than the student."""

from torch import nn

from edgecomp.students.front_end import FrontEnd
from edgecomp.teachers.residual_net import residual_net


def build(classes: int, sample_rate: int, samples: int) -> nn.Module:
    """Return the net; `edgecomp train` fits it, and `edgecomp compile` does so where that was not done."""
    return residual_net(FrontEnd.preset(sample_rate, samples, mels=64, hop=sample_rate // 100), classes)
'''
