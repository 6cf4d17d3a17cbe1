"""Where the examples are listed: the rows of a CSV, or the folders of an audiofolder, as clips."""

from __future__ import annotations

import bisect
import csv
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from edgecomp.data.audio import SUFFIXES
from edgecomp.errors import DataError, nearest
from edgecomp.recipe import Data, Split

AUDIOFOLDER = "audiofolder"
UNKNOWN = "unknown"
"""What a group is called for a clip whose row leaves it empty."""

_FOLDER = "folder above the labels"  # no column can be called so by accident; it says a clip's split
_EMPTY = {"", "nan", "none", "null", "na", "n/a"}
Row = tuple[str, Mapping[str, str]]
"""Where it stands (for a message), and its values by column."""


@dataclass(frozen=True)
class Clip:
    """One example: a file, what it says, who says it and which side of the split it stands on.

    path:    relative to the data set's folder, with forward slashes
    label:   "" for a clip that only the teacher says something about
    split:   "train", "validation" or "test"; "" until splits are drawn
    groups:  group column → value; number columns are cut into bins
    content: SHA-256 of the file's bytes, hex; "" until it is read
    """

    path: str
    label: str
    split: str
    subject: str | None
    groups: Mapping[str, str]
    content: str = ""


def list_clips(folder: Path, data: Data, where: Path) -> tuple[Clip, ...]:
    """Read the manifest into clips, without opening any audio.

    folder: where the data lie
    where:  the recipe's file, for messages about its own settings
    raises: DataError for a missing folder, file or column, an unknown label or split, a path that leaves the
            folder, a file listed twice, and a manifest that is not UTF-8
    """
    if not folder.is_dir():
        raise DataError(
            f"the data folder does not exist: {folder}",
            where=f"{where} [data]",
            fix=f"get it from {data.source} (licence: {data.licence}) and give its folder "
            "with --data or as path under [data]",
        )
    bins = {column: _bin_names(column, cuts, where) for column, cuts in data.bins.items()}
    rows = list(_audiofolder(folder, data) if data.manifest == AUDIOFOLDER else _table(folder / data.manifest, data))
    if not rows:
        raise DataError(
            "the manifest lists no clips",
            where=folder / data.manifest,
            fix=f"add rows, or files with one of these endings: {', '.join(SUFFIXES)}",
        )
    seen: dict[str, str] = {}
    clips = []
    for place, row in rows:
        clip = _clip(place, row, data, bins)
        if clip.path in seen:
            raise DataError(
                f"{clip.path!r} is listed twice", where=place, fix=f"remove it here or at {seen[clip.path]}"
            )
        seen[clip.path] = place
        clips.append(clip)
    return tuple(clips)


def columns_used(data: Data) -> tuple[str, ...]:
    """Return the columns that a recipe reads from its manifest, in order, each once."""
    named = [data.path_column, data.label_column, data.split.column, data.subject, *data.groups, *data.bins]
    return tuple(dict.fromkeys(column for column in named if column))


def read_table(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a CSV: its columns, and each row with its line number; raises DataError."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"there is no {file.name}",
            where=file.parent,
            fix='name the CSV with manifest under [data], or use manifest = "audiofolder"',
        ) from None
    except UnicodeDecodeError as why:
        line = why.object[: why.start].count(b"\n") + 1
        raise DataError(
            f"not UTF-8: byte {why.object[why.start]:#04x}",
            where=f"{file}, line {line}",
            fix="save the file with the encoding UTF-8",
        ) from None
    except OSError as why:
        raise DataError(f"cannot read: {why.strerror}", where=file, fix="check the permissions") from None
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        rows = []
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                raise DataError(
                    f"{len(values)} values under {len(columns)} columns",
                    where=f"{file}, line {reader.line_num}",
                    fix="quote values that hold a comma",
                )
            rows.append((reader.line_num, dict(zip(columns, map(str.strip, values), strict=True))))
    except csv.Error as why:
        raise DataError(
            f"not a valid CSV: {why}", where=f"{file}, line {reader.line_num}", fix="mend that line"
        ) from None
    if len(set(columns)) != len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise DataError(f"two columns are called {twice!r}", where=file, fix="rename one of them")
    return columns, rows


def find_audio(folder: Path) -> list[str]:
    """Return the audio files below a folder, relative to it, sorted; hidden ones are left out."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def split_names(split: Split) -> dict[str, str]:
    """Return the split that each value of the split column stands for."""
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    return {value: side for side, values in sides.items() for value in values}


def _table(file: Path, data: Data) -> Iterator[Row]:
    columns, rows = read_table(file)
    for column in columns_used(data):
        if column not in columns:
            raise DataError(f"there is no column {column!r}", where=file, fix=nearest(column, columns))
    for line, row in rows:
        yield f"{file}, line {line}", row


def _audiofolder(folder: Path, data: Data) -> Iterator[Row]:
    """Read [split/]label/file, with the columns of a metadata.csv (keyed by file_name) beside the files, if any."""
    files = find_audio(folder)
    sides = split_names(data.split)
    tops = {PurePosixPath(path).parts[0] for path in files}
    is_split = bool(files) and tops <= set(sides)
    extra: dict[str, dict[str, str]] = {}
    for table in sorted(folder.rglob("metadata.csv")):
        columns, rows = read_table(table)
        if "file_name" not in columns:
            raise DataError("there is no column 'file_name'", where=table, fix=nearest("file_name", columns))
        base = table.parent.relative_to(folder)
        extra |= {(base / row["file_name"]).as_posix(): row for _, row in rows}
    for path in files:
        parts = PurePosixPath(path).parts[is_split:]
        row = {data.path_column: path} | extra.get(path, {})
        row[data.path_column] = path
        if is_split:
            row.setdefault(data.split.column or _FOLDER, PurePosixPath(path).parts[0])
        if len(parts) > 1:
            row.setdefault(data.label_column, parts[0])
        for column in columns_used(data):
            if column not in row:
                have = ", ".join(sorted(row))
                raise DataError(
                    f"there is no {column!r} for this clip",
                    where=folder / path,
                    fix=f"a folder per label, or a metadata.csv with file_name and {column}; it has {have}",
                )
        yield str(folder / path), row


def _clip(place: str, row: Mapping[str, str], data: Data, bins: Mapping[str, Callable[[str, str], str]]) -> Clip:
    path, label = row[data.path_column].replace("\\", "/"), row[data.label_column]
    parts = PurePosixPath(path).parts
    if not path or ".." in parts or PurePosixPath(path).is_absolute() or ":" in parts[0]:
        raise DataError(
            f"the path {path!r} leaves the data folder" if path else "the path is empty",
            where=place,
            fix="give a path below the manifest's folder, such as audio/clip.wav",
        )
    if not label and data.resolve.unlabelled == "error":
        raise DataError(
            "the label is empty",
            where=place,
            fix=f"fill in the column {data.label_column!r}, or set resolve.unlabelled = 'teach' under [data]: "
            "the teacher's answers then teach the student about such clips",
        )
    if label and data.labels is not None and label not in data.labels:
        raise DataError(f"unknown label {label!r}", where=place, fix=nearest(label, data.labels))
    groups = {column: UNKNOWN if _is_empty(row[column]) else row[column] for column in data.groups}
    groups |= {column: name(place, row[column]) for column, name in bins.items()}
    subject = row[data.subject] if data.subject else ""
    return Clip(
        PurePosixPath(path).as_posix(),
        label,
        _side(place, row, data.split),
        None if _is_empty(subject) else subject,
        MappingProxyType(groups),
    )


def _side(place: str, row: Mapping[str, str], split: Split) -> str:
    """Return the split that a row states, or "" where it states none."""
    column = split.column or (_FOLDER if _FOLDER in row else None)
    if column is None:
        return ""
    sides = split_names(split)
    if row[column] not in sides:
        raise DataError(
            f"unknown split {row[column]!r} in column {column!r}",
            where=place,
            fix=f"{nearest(row[column], sides)}; name it under [data.split]",
        )
    return sides[row[column]]


def _bin_names(column: str, cuts: list[float], where: Path) -> Callable[[str, str], str]:
    """Return the function that names the bin of a number: "below 20", "20 to 40", "40 and above"."""
    if not cuts or sorted(set(cuts)) != cuts:
        raise DataError(
            f"the cut points of {column!r} are {cuts}",
            where=f"{where} [data.bins]",
            fix="give at least one number, in rising order",
        )
    names = [f"below {cuts[0]:g}", *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(cuts)), f"{cuts[-1]:g} and above"]

    def name(place: str, value: str) -> str:
        if _is_empty(value):
            return UNKNOWN
        try:
            return names[bisect.bisect_right(cuts, float(value))]
        except ValueError:
            raise DataError(
                f"{value!r} in column {column!r} is no number",
                where=place,
                fix=f"mend it, leave it empty, or take {column!r} out of [data.bins]",
            ) from None

    return name


def _is_empty(value: str) -> bool:
    return value.lower() in _EMPTY
