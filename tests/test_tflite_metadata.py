import io
import struct
import zipfile

import numpy as np
import pytest

from edgecomp.errors import InputError
from edgecomp.lowering.flatbuffer import TfliteGraph, metadata_of
from edgecomp.lowering.tflite_metadata import (
    LABELS_FILE,
    METADATA_NAME,
    associated_files,
    labels_file,
    tflite_metadata,
    with_associated_files,
)

LABELS = ["yes", "no", "nichts für ungut"]


class Table:
    """Reads a flatbuffer's table by field number, from the format's own rules and without the writing library."""

    def __init__(self, content: bytes, place: int | None = None):
        self.content = content
        self.place = self._u32(0) if place is None else place

    def _u32(self, at: int) -> int:
        return struct.unpack_from("<I", self.content, at)[0]

    def _at(self, field: int) -> int | None:
        vtable = self.place - struct.unpack_from("<i", self.content, self.place)[0]
        size = struct.unpack_from("<H", self.content, vtable)[0]
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self.content, vtable + entry)[0] if entry < size else 0
        return self.place + offset if offset else None

    def number(self, field: int, form: str) -> int:
        at = self._at(field)
        return 0 if at is None else struct.unpack_from(f"<{form}", self.content, at)[0]

    def _follow(self, field: int) -> int:
        at = self._at(field)
        assert at is not None, f"field {field} is absent"
        return at + self._u32(at)

    def text(self, field: int) -> str:
        at = self._follow(field)
        return self.content[at + 4 : at + 4 + self._u32(at)].decode()

    def table(self, field: int) -> "Table":
        return Table(self.content, self._follow(field))

    def tables(self, field: int) -> list["Table"]:
        if self._at(field) is None:
            return []
        at = self._follow(field)
        places = [at + 4 + 4 * number for number in range(self._u32(at))]
        return [Table(self.content, place + self._u32(place)) for place in places]

    def floats(self, field: int) -> list[float]:
        at = self._follow(field)
        return list(struct.unpack_from(f"<{self._u32(at)}f", self.content, at + 4))


def _written(**more) -> bytes:
    settings = dict(version="0.1.0", labels=LABELS, sample_rate=16_000, samples=24_000) | more
    return tflite_metadata("words", "three spoken words", **settings)


def _model(metadata: dict[str, bytes] | None = None) -> bytes:
    graph = TfliteGraph("test")
    logits = graph.tensor("waveform", (1, 3))
    shares = graph.op("SOFTMAX", [logits], graph.tensor("probabilities", (1, 3)), "SoftmaxOptions", beta=1.0)
    return graph.to_bytes({"waveform": logits}, {"probabilities": shares}, metadata or {})


def _answer(model: bytes) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=model).get_signature_runner()
    return run(waveform=np.float32([[0, 1, 2]]))["probabilities"]


def test_the_model_is_named_and_the_parser_version_is_the_one_that_audio_needs():
    content = _written()
    model = Table(content)
    assert content[4:8] == b"M001"
    assert [model.text(field) for field in (0, 1, 2)] == ["words", "three spoken words", "0.1.0"]
    assert model.text(7) == "1.3.0"


def test_the_input_is_mono_audio_at_its_rate():
    (graph,) = Table(_written()).tables(3)
    (waveform,) = graph.tables(2)
    content = waveform.table(3)
    assert waveform.text(0) == "waveform" and "24000 samples at 16000 Hz (1.5 s)" in waveform.text(1)
    assert content.number(0, "B") == 4  # ContentProperties.AudioProperties
    assert (content.table(1).number(0, "I"), content.table(1).number(1, "I")) == (16_000, 1)
    assert (waveform.table(5).floats(0), waveform.table(5).floats(1)) == ([1.0], [-1.0])


def test_the_output_points_to_the_file_of_labels():
    (graph,) = Table(_written()).tables(3)
    (probabilities,) = graph.tables(3)
    (file,) = probabilities.tables(6)
    assert probabilities.text(0) == "probabilities" and "nichts für ungut" in probabilities.text(1)
    assert file.text(0) == LABELS_FILE and file.number(2, "b") == 2  # AssociatedFileType.TENSOR_AXIS_LABELS
    assert (probabilities.table(5).floats(0), probabilities.table(5).floats(1)) == ([1.0], [0.0])


def test_further_outputs_follow_in_their_order_and_without_labels():
    (graph,) = Table(_written(more_outputs={"uncertainty": "0 is sure", "other": "x"})).tables(3)
    outputs = graph.tables(3)
    assert [one.text(0) for one in outputs] == ["probabilities", "uncertainty", "other"]
    assert [len(one.tables(6)) for one in outputs] == [1, 0, 0]


def test_the_same_description_gives_the_same_bytes_and_another_rate_others():
    assert _written() == _written()
    assert _written() != _written(sample_rate=8_000)


def test_a_model_with_metadata_and_files_answers_as_before():
    plain = _model()
    told = with_associated_files(_model({METADATA_NAME: _written()}), {LABELS_FILE: labels_file(LABELS)})
    assert np.array_equal(_answer(told), _answer(plain))
    assert metadata_of(told, METADATA_NAME) == _written()
    assert associated_files(told)[LABELS_FILE].decode().splitlines() == LABELS


def test_associated_files_are_stored_uncompressed_and_without_a_time():
    model = _model()
    told = with_associated_files(model, {"b.txt": b"b" * 500, "a.txt": b"a"})
    assert told.startswith(model)
    with zipfile.ZipFile(io.BytesIO(told)) as archive:
        assert archive.testzip() is None and archive.namelist() == ["a.txt", "b.txt"]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0) and entry.create_system == 3
    assert told == with_associated_files(model, {"a.txt": b"a", "b.txt": b"b" * 500})


def test_files_can_be_added_to_a_model_that_has_some_but_none_twice():
    once = with_associated_files(_model(), {"a.txt": b"a"})
    assert associated_files(with_associated_files(once, {"b.txt": b"b"})) == {"a.txt": b"a", "b.txt": b"b"}
    with pytest.raises(InputError, match=r"'a\.txt' cannot be") as error:
        with_associated_files(once, {"a.txt": b"other"})
    assert "none of a.txt" in error.value.fix


def test_a_model_without_files_has_none():
    assert associated_files(_model()) == {}


@pytest.mark.parametrize("name", ["x/y.txt", "../y.txt", "x\\y.txt", "/y.txt", "", ".", ".."])
def test_an_associated_file_has_a_plain_name(name):
    with pytest.raises(InputError, match="cannot be an associated file"):
        with_associated_files(_model(), {name: b""})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x08\x00\x00\x00ONNX...."])
def test_only_a_tflite_model_takes_associated_files(content):
    with pytest.raises(InputError, match="begins with"):
        with_associated_files(content, {"a.txt": b""})


@pytest.mark.parametrize("labels", [[], ["a", "a"], ["a\nb", "c"], ["a", ""], ["a", " "], ["a\u2028b"], ["a\r", "b"]])
def test_labels_that_a_file_of_lines_cannot_hold_are_refused(labels):
    with pytest.raises(InputError) as error:
        _written(labels=labels)
    assert repr(labels) in error.value.what and error.value.fix
