"""LiteRT's own profiler: what the runtime says of itself how long each run and each operator took.

The Python package wraps an interpreter without one. The C library that its wheel holds (libLiteRt.so) has a compiled model
with one, which runs the same kernels; it is called here through ctypes. Its clock counts whole microseconds.
source: LiteRT 2.3, litert/c/litert_profiler.h, litert_profiler_event.h, litert_compiled_model.h
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CPU, FLOAT32 = 1, 1
READ, WRITE = 0, 1
OPERATOR, DELEGATED = 2, 8
"""Kinds of events: an operator of LiteRT itself, and one that XNNPACK took over."""
LAYOUT_BYTES = 4 + 8 * 4 + 8 * 4
"""Of LiteRtLayout: rank and a flag in four bytes, dimensions, strides."""
OPTIONS = {b"runtime_options_string": b"enable_profiling = true\n", b"xnnpack": b"num_threads = 1\n"}


class _Memory(ctypes.Structure):
    _fields_ = [(name, c_size_t) for name in ("allocated", "in_use", "private")]


class _Event(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("kind", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("before", _Memory),
        ("after", _Memory),
        ("metadata", c_uint64 * 2),
        ("source", c_int),
    ]


@dataclass(frozen=True)
class Run:
    """One run as LiteRT timed it.

    span_ms:   from the beginning of its first event to the end of its last one
    invoke_ms: the interpreter's Invoke alone, which leaves out how buffers are handed over
    operators: name and ms of each operator, in order
    """

    span_ms: float
    invoke_ms: float
    operators: tuple[tuple[str, float], ...]


class Profiled:
    """A file of one float32 waveform in LiteRT's compiled model, one thread, with its profiler running."""

    def __init__(self, path: Path, outputs: int = 2):
        """Open a file that has so many outputs; raises RuntimeError with LiteRT's status where it cannot."""
        import ai_edge_litert

        self._lib = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
        self._kept: list[object] = []  # what LiteRT points into
        environment = self._new("LiteRtCreateEnvironment", c_int(0), None)
        model = self._new("LiteRtCreateModelFromFile", environment, str(path).encode())
        options = self._new("LiteRtCreateOptions")
        self._do("LiteRtSetOptionsHardwareAccelerators", options, c_int(CPU))
        keep = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)
        for name, text in OPTIONS.items():
            payload = ctypes.create_string_buffer(text)
            self._kept += [payload, keep]
            opaque = self._new("LiteRtCreateOpaqueOptions", name, payload, keep)
            self._do("LiteRtAddOpaqueOptions", options, opaque)
        self._model = self._new("LiteRtCreateCompiledModel", environment, model, options)
        self._profiler = self._new("LiteRtCompiledModelGetProfiler", self._model)
        first, layout = c_size_t(0), ctypes.create_string_buffer(LAYOUT_BYTES)
        layouts = ctypes.create_string_buffer(LAYOUT_BYTES * outputs)
        self._do("LiteRtGetCompiledModelInputTensorLayout", self._model, first, first, layout)
        self._do(
            "LiteRtGetCompiledModelOutputTensorLayouts",
            self._model,
            first,
            c_size_t(outputs),
            layouts,
            ctypes.c_bool(False),
        )
        told = [layouts.raw[n * LAYOUT_BYTES : (n + 1) * LAYOUT_BYTES] for n in range(outputs)]
        self._input = self._buffer(environment, "Input", 0, layout.raw)
        self._outputs = [self._buffer(environment, "Output", n, one) for n, one in enumerate(told)]
        ports = (c_void_p * 1)(self._input), (c_void_p * outputs)(*self._outputs)
        self._call = (self._model, first, c_size_t(1), ports[0], c_size_t(outputs), ports[1])

    def hear(self, waveform: np.ndarray) -> None:
        """Write the waveform that the following runs hear."""
        address, given = c_void_p(), np.ascontiguousarray(waveform, np.float32)
        self._do("LiteRtLockTensorBuffer", self._input, ctypes.byref(address), c_int(WRITE))
        ctypes.memmove(address, given.ctypes.data, given.nbytes)
        self._do("LiteRtUnlockTensorBuffer", self._input)

    def start(self) -> None:
        """Forget what was timed, and time what follows."""
        self._do("LiteRtResetProfiler", self._profiler)
        self._do("LiteRtStartProfiler", self._profiler)

    def run(self, _: object = None) -> None:
        """Run once; an argument is taken and not used, so that a clock may hand a clip over."""
        if status := self._lib.LiteRtRunCompiledModel(*self._call):
            raise RuntimeError(f"LiteRtRunCompiledModel: status {status}")

    def answer(self, output: int, values: int) -> np.ndarray:
        """Return the first values of an output after a run, (values,) float32."""
        address = c_void_p()
        self._do("LiteRtLockTensorBuffer", self._outputs[output], ctypes.byref(address), c_int(READ))
        found = np.frombuffer(ctypes.string_at(address, 4 * values), np.float32)
        self._do("LiteRtUnlockTensorBuffer", self._outputs[output])
        return found

    def runs(self) -> list[Run]:
        """Return what was timed since the start."""
        count = c_int()
        self._do("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * count.value)()
        self._do("LiteRtGetProfilerEvents", self._profiler, count, events)
        found: list[list[_Event]] = []
        for event in events:
            if event.tag == b"LiteRT::Run[buffer registration]":
                found.append([])
            found[-1].append(event)
        return [_run(one) for one in found]

    def _do(self, name: str, *given: object) -> None:
        if status := getattr(self._lib, name)(*given):
            raise RuntimeError(f"{name}: status {status}")

    def _new(self, name: str, *given: object) -> c_void_p:
        """Return the handle that a call writes to its last argument; it lives as long as the process."""
        handle = c_void_p()
        self._do(name, *given, ctypes.byref(handle))
        return handle

    def _buffer(self, environment: c_void_p, side: str, place: int, layout: bytes) -> c_void_p:
        asked = f"LiteRtGetCompiledModel{side}BufferRequirements"
        wanted = self._new(asked, self._model, c_size_t(0), c_size_t(place))
        kind = ctypes.create_string_buffer(FLOAT32.to_bytes(4, "little") + layout)
        self._kept.append(kind)
        return self._new("LiteRtCreateManagedTensorBufferFromRequirements", environment, kind, wanted)


def _run(events: list[_Event]) -> Run:
    """Read one run; events without a start are operators, or a report that is no time at all."""
    timed = [one for one in events if one.start_us]
    invoked = next(one for one in timed if one.tag == b"Invoke")
    operators = [one for one in events if one.kind in (OPERATOR, DELEGATED)]
    return Run(
        span_ms=(timed[-1].start_us + timed[-1].elapsed_us - timed[0].start_us) / 1e3,
        invoke_ms=invoked.elapsed_us / 1e3,
        operators=tuple((one.tag.decode(), one.elapsed_us / 1e3) for one in operators),
    )
