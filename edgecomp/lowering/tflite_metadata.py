"""TFLite Metadata: what an Android app's metadata reader learns from the .tflite file itself.

It is a flatbuffer of its own inside the model, under the metadata name TFLITE_METADATA; the labels travel as a file
in an uncompressed zip behind the model. The tables' field numbers are those of metadata_schema.fbs in
tensorflow/tflite-support. Its own reader (0.4.4) and MediaPipe's AudioClassifier (1.2.2) open such a file and name its
labels; the former wants every output in two dimensions, (1, n).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

import flatbuffers

from edgecomp.errors import InputError

METADATA_NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.3.0"
"""The schema's version that brought AudioProperties, the newest of the tables used here."""
AUDIO_PROPERTIES, FEATURE_PROPERTIES = 4, 1
TENSOR_AXIS_LABELS = 2
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can state: the same files give the same bytes."""


def tflite_metadata(
    name: str,
    description: str,
    *,
    version: str,
    labels: Sequence[str],
    sample_rate: int,
    samples: int,
    more_outputs: Mapping[str, str] | None = None,
) -> bytes:
    """Describe an audio classifier: mono waveform in, one probability for each label out.

    sample_rate:  Hz
    samples:      length of the input in samples
    more_outputs: names and descriptions of further outputs, in the graph's order after the probabilities
    returns: the content of the model's metadata entry METADATA_NAME, with identifier M001
    raises:  InputError for labels that a file of one label a line cannot hold
    source:  metadata_schema.fbs 1.5.0, tensorflow/tflite-support v0.4.4
    """
    labels_file(labels)  # refuses what cannot be written
    build = flatbuffers.Builder(1024)
    waveform = _tensor(
        build,
        "waveform",
        f"mono waveform of {samples} samples at {sample_rate} Hz ({samples / sample_rate:g} s), amplitude -1 to 1",
        dimensions=("batch", "samples"),
        content=(AUDIO_PROPERTIES, _audio_properties(build, sample_rate)),
        lowest=-1.0,
    )
    probabilities = _tensor(
        build,
        "probabilities",
        f"probability of each label: {', '.join(labels)}",
        dimensions=("batch", "label"),
        content=(FEATURE_PROPERTIES, _table(build, {})),
        files=[_associated(build, LABELS_FILE, "the labels in the order of the probabilities, one a line")],
        lowest=0.0,
    )
    outputs = [probabilities] + [
        _tensor(build, title, told, content=(FEATURE_PROPERTIES, _table(build, {})))
        for title, told in (more_outputs or {}).items()
    ]
    graph = _table(build, {2: _vector(build, [waveform]), 3: _vector(build, outputs)})
    model = _table(
        build,
        {
            0: _text(build, name),
            1: _text(build, description),
            2: _text(build, version),
            3: _vector(build, [graph]),
            7: _text(build, MIN_PARSER_VERSION),
        },
    )
    build.Finish(model, file_identifier=IDENTIFIER)
    return bytes(build.Output())


def labels_file(labels: Sequence[str]) -> bytes:
    """Write the associated file of labels: UTF-8, one a line.

    raises: InputError for no labels, equal ones, empty ones, or one with a line break
    """
    labels = list(labels)
    if not labels or len(set(labels)) != len(labels) or any(len(f"{one}.".splitlines()) != 1 for one in labels):
        raise InputError(
            f"labels {labels!r} cannot be a file of one label a line",
            where="TFLite metadata",
            fix="at least one label, all different, none with a line break",
        )
    if not all(label.strip() for label in labels):
        raise InputError(f"labels {labels!r} hold an empty one", where="TFLite metadata", fix="name every label")
    return ("\n".join(labels) + "\n").encode()


def with_associated_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Append files to a TFLite model as an uncompressed zip, where metadata readers look for them.

    An interpreter reads the flatbuffer in front and does not see the zip. Equal input gives equal bytes.
    files:  plain names, such as "labels.txt", and their content
    raises: InputError where the model is no TFLite file, a name is a path, or the model has that file already
    """
    if model[4:8] != b"TFL3":
        raise InputError(
            f"a file that begins with {model[:8]!r}", where="TFLite metadata", fix="give the bytes of a .tflite file"
        )
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        present = set(archive.namelist())
        for name in sorted(files):
            if name in present or PurePosixPath(name).name != name or name in ("", "..") or "\\" in name:
                raise InputError(
                    f"{name!r} cannot be an associated file",
                    where="TFLite metadata",
                    fix=f"a plain file name, none of {', '.join(sorted(present)) or 'those in the model'}",
                )
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # else they tell the machine that wrote them
            archive.writestr(entry, files[name])
    return stream.getvalue()


def associated_files(model: bytes) -> dict[str, bytes]:
    """Return the files that a TFLite model carries behind its flatbuffer; none for a model without a zip."""
    stream = io.BytesIO(model)
    if not zipfile.is_zipfile(stream):
        return {}
    with zipfile.ZipFile(stream) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


Write = Callable[[flatbuffers.Builder, int], None]


def _tensor(
    build: flatbuffers.Builder,
    name: str,
    description: str,
    *,
    content: tuple[int, int],
    dimensions: Sequence[str] = (),
    files: Sequence[int] = (),
    lowest: float | None = None,
) -> int:
    """Write TensorMetadata; with `lowest`, its values go from there to 1."""
    kind, properties = content
    fields: dict[int, int | Write] = {
        0: _text(build, name),
        1: _text(build, description),
        3: _table(build, {0: lambda b, slot: b.PrependUint8Slot(slot, kind, 0), 1: properties}),
    }
    if dimensions:
        fields[2] = _vector(build, [_text(build, one) for one in dimensions])
    if lowest is not None:
        fields[5] = _table(build, {0: _floats(build, [1.0]), 1: _floats(build, [lowest])})
    if files:
        fields[6] = _vector(build, files)
    return _table(build, fields)


def _audio_properties(build: flatbuffers.Builder, sample_rate: int) -> int:
    return _table(
        build,
        {
            0: lambda b, slot: b.PrependUint32Slot(slot, sample_rate, 0),
            1: lambda b, slot: b.PrependUint32Slot(slot, 1, 0),  # mono
        },
    )


def _associated(build: flatbuffers.Builder, name: str, description: str) -> int:
    return _table(
        build,
        {
            0: _text(build, name),
            1: _text(build, description),
            2: lambda b, slot: b.PrependInt8Slot(slot, TENSOR_AXIS_LABELS, 0),
        },
    )


def _table(build: flatbuffers.Builder, fields: Mapping[int, int | Write]) -> int:
    """Write a table: by field number, the offset of a finished part, or a function that writes a number."""
    build.StartObject(max(fields, default=-1) + 1)
    for slot in sorted(fields):
        field = fields[slot]
        if callable(field):
            field(build, slot)
        else:
            build.PrependUOffsetTRelativeSlot(slot, field, 0)
    return build.EndObject()


def _text(build: flatbuffers.Builder, text: str) -> int:
    return build.CreateString(text)


def _vector(build: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    build.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        build.PrependUOffsetTRelative(offset)
    return build.EndVector()


def _floats(build: flatbuffers.Builder, values: Sequence[float]) -> int:
    build.StartVector(4, len(values), 4)
    for value in reversed(values):
        build.PrependFloat32(value)
    return build.EndVector()
