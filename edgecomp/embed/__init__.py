"""A bundle as a drop-in module for an app: one file here for each language; `embed` writes what it generates.

A language is a file of this folder with one function, `files(facts: Facts) -> dict[str, str | bytes]`: POSIX paths
relative to the folder that the user gave → content. It embeds `facts.model` (the chosen format). Its text files open
with `facts.note`; all that belongs to one version lies in a folder or package named after `facts.package`
("keywords_aa50d6abb80f"), so that two versions lie side by side; the one file that says which version is in use is a
`Selector`. The same facts give the same bytes. docs/embedding.md holds what every language must do alike.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from edgecomp.artifact import to_json
from edgecomp.bundle import Bundle
from edgecomp.embed.facts import read_facts
from edgecomp.errors import EmbedError, nearest
from edgecomp.store import clear_errors, write_atomically

MANIFEST = "edgecomp-embed.json"
"""Lies in the folder and holds the hash of every file that was generated there, so that an edited one is known."""
SCHEMA = 1
STAGE = ".edgecomp-embed-"


class Selector(str):
    """The text of a file that is the user's to edit: it says which version is in use, in one line.

    It is written where there is none, or where nobody has edited it; an edited one is left alone.
    """


@dataclass(frozen=True)
class Written:
    """What `embed` did in a folder; paths are relative to it.

    written: new or changed; same: as they were; kept: selectors that were edited and left alone;
    removed: files of the same version that it no longer has
    """

    folder: Path
    written: tuple[str, ...]
    same: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


def languages() -> list[str]:
    """Return the languages that a bundle can be written in: the files here that have `files`."""
    return [stem for stem in _stems() if hasattr(import_module(f"edgecomp.embed.{stem}"), "files")]


def embed(bundle: Bundle, language: str, folder: Path, form: str | None = None) -> Written:
    """Write a checked bundle as a module for an app, all of it or nothing; see embed_all."""
    return embed_all(bundle, {language: folder}, form)[0]


def embed_all(bundle: Bundle, folders: Mapping[str, Path], form: str | None = None) -> list[Written]:
    """Write a checked bundle in several languages; nothing is written before all that could be refused was looked at.

    folders: language → where it goes
    form:    "onnx" or "tflite"; None for the format of the target's runtime
    raises:  EmbedError where a generated file was edited, or a file of the user's own lies where one goes;
             BundleError where the bundle does not hold the format, or a language cannot be written from it
    """
    if len({folder.resolve() for folder in folders.values()}) < len(folders):
        raise EmbedError("one folder for two languages", where="embed", fix="give each language a folder of its own")
    plans = []
    for language, folder in folders.items():
        if language not in _stems() or not hasattr(generator := import_module(f"edgecomp.embed.{language}"), "files"):
            raise EmbedError(f"unknown language {language!r}", where="embed", fix=nearest(language, languages()))
        facts = read_facts(bundle, form)
        with clear_errors(folder):
            plans.append(_plan(folder, f"{language} {facts.package}", generator.files(facts)))
    done = []
    for plan in plans:
        with clear_errors(plan.folder):
            done.append(_carry_out(plan))
    return done


def _stems() -> list[str]:
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


@dataclass(frozen=True)
class _Plan:
    """What is to be done in a folder; nothing in it is refused.

    known: the list of generated files as it is; owner: language and package
    fresh: path → content to be written, the selectors last
    """

    folder: Path
    owner: str
    known: Mapping[str, dict]
    fresh: Mapping[str, bytes]
    same: Mapping[str, bytes]
    kept: tuple[str, ...]
    stale: tuple[str, ...]


def _plan(folder: Path, owner: str, made: Mapping[str, str | bytes]) -> _Plan:
    known = _read_manifest(folder)
    new = {path: (content.encode() if isinstance(content, str) else content) for path, content in made.items()}
    kept = [path for path, text in made.items() if isinstance(text, Selector) and _is_edited(folder, path, known, new)]
    stale = [path for path, entry in known.items() if entry["of"] == owner and path not in new]
    wanted = {path: new[path] for path in sorted(new, key=lambda path: isinstance(made[path], Selector))}
    wanted = {path: content for path, content in wanted.items() if path not in kept}
    _refuse(folder, owner, known, wanted, stale)
    same = {path: content for path, content in wanted.items() if _content(folder / path) == content}
    fresh = {path: content for path, content in wanted.items() if path not in same}
    return _Plan(folder, owner, known, fresh, same, tuple(sorted(kept)), tuple(sorted(stale)))


def _carry_out(plan: _Plan) -> Written:
    """Lay the new files beside their places, and move them there."""
    folder, known = plan.folder, plan.known
    made = plan.fresh | plan.same
    entries = {path: {"of": plan.owner, "sha256": [_digest(content)]} for path, content in made.items()}
    gone = [path for path in known if not (folder / path).exists()]  # removed by the user
    left = {path: entry for path, entry in known.items() if path not in {*plan.stale, *gone}}
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{STAGE}*"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    stage = folder / f"{STAGE}{uuid.uuid4().hex}"
    try:
        for path, content in plan.fresh.items():  # a full disk is met here, before anything is changed
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            (stage / path).write_bytes(content)
        between = {path: _either(known.get(path), entry) for path, entry in entries.items()}
        _write_manifest(folder, {**known, **between})  # a kill from here on leaves files that are known to be ours
        for path in plan.fresh:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / path, folder / path)
        for path in plan.stale:
            (folder / path).unlink(missing_ok=True)
        _write_manifest(folder, left | entries)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Written(folder, tuple(sorted(plan.fresh)), tuple(sorted(plan.same)), plan.kept, plan.stale)


def _refuse(folder: Path, owner: str, known: Mapping[str, dict], new: Mapping[str, bytes], stale: list[str]) -> None:
    """Raise an error that names the first file which must not be overwritten, before anything is."""
    for path in sorted([*new, *stale]):
        place = folder / path
        blocked = next((p for p in place.parents if p.is_relative_to(folder) and p.exists() and not p.is_dir()), None)
        if blocked is not None or place.is_dir() or not place.resolve().is_relative_to(folder.resolve()):
            raise EmbedError(
                "something of your own lies where a generated file goes",
                where=blocked or place,
                fix="move it away, or give another folder",
            )
        if path in known and known[path]["of"].split()[0] != owner.split()[0]:
            raise EmbedError(
                f"this file was generated for {known[path]['of'].split()[0]}, and another language's goes there too",
                where=place,
                fix="give each language a folder of its own",
            )
        if not _is_edited(folder, path, known, new):
            continue
        if path in known:
            raise EmbedError(
                "this generated file was edited by hand, and is not overwritten",
                where=place,
                fix="move your changes into a file of your own, delete this one, and run the same command again",
            )
        raise EmbedError(
            "a file of your own lies where a generated file goes",
            where=place,
            fix="move it away, or give another folder",
        )


def _is_edited(folder: Path, path: str, known: Mapping[str, dict], new: Mapping[str, bytes]) -> bool:
    """Say whether a file is there whose content is neither what was generated nor what is to be."""
    if (content := _content(folder / path)) is None:
        return False
    allowed = [*known.get(path, {"sha256": []})["sha256"], *([_digest(new[path])] if path in new else [])]
    as_lf = content.replace(b"\r\n", b"\n")  # Git on Windows changes line ends; that is no edit
    return _digest(content) not in allowed and _digest(as_lf) not in allowed


def _either(before: dict | None, after: dict) -> dict:
    """Return an entry that holds for a file as it was and as it is to be."""
    digests = [*(before or {"sha256": []})["sha256"], *after["sha256"]]
    return {"of": after["of"], "sha256": list(dict.fromkeys(digests))}


def _content(place: Path) -> bytes | None:
    return place.read_bytes() if place.is_file() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_manifest(folder: Path) -> dict[str, dict]:
    """Return what was generated in a folder: path → {"of": language and package, "sha256": [hash]}."""
    place = folder / MANIFEST
    if not place.exists():
        return {}
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema version {told['schema']!r}, and this edgecomp reads {SCHEMA}")
        for path, entry in told["files"].items():
            digests = entry["sha256"]
            if not (isinstance(entry["of"], str) and entry["of"].split() and isinstance(digests, list)):
                raise ValueError(f"the entry of {path}")
            if not (folder / path).resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{path} lies outside the folder")
        return told["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as why:
        raise EmbedError(
            f"the list of generated files cannot be read: {why}",
            where=place,
            fix="restore it from your version control, or give another folder",
        ) from None


def _write_manifest(folder: Path, files: Mapping[str, dict]) -> None:
    about = "written by edgecomp embed: the hashes of what it generated here, by which it knows a file that was edited"
    told = {"about": about, "schema": SCHEMA, "files": dict(sorted(files.items()))}
    if _content(folder / MANIFEST) != (content := (to_json(told) + "\n").encode()):
        write_atomically(folder / MANIFEST, content)
