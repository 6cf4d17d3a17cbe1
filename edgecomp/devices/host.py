"""This machine as a device: what it is, and what one model costs alone in a fresh process on it.

Latency is not here: measure.latency interleaves several sessions in one process.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgecomp.errors import EdgecompError, nearest

PROBE = Path(__file__).with_name("probe.py")
FORMATS = ("onnx", "tflite")
PACKAGES = ("torch", "onnxruntime", "ai-edge-litert", "numpy")

FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimd",
    "neon",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
)
"""Instruction set extensions that change how fast or how exactly a small net runs, as /proc/cpuinfo spells them."""

ARM_DOT_PRODUCT = {
    (0x41, 0xD03): None,
    (0x41, 0xD08): None,
    (0x41, 0xD09): None,  # Cortex-A53, A72, A73: never
    (0x41, 0xD05): 1,
    (0x41, 0xD0A): 2,
    (0x41, 0xD0B): 0,
    (0x41, 0xD0D): 0,  # Cortex-A55 r1, A75 r2, A76, A77
    (0x41, 0xD0C): 0,
    (0x51, 0x804): 0,
    (0x51, 0x805): 0,  # Neoverse N1, Kryo 485 Gold and Silver
}
"""The variant (implementer, part) from which a core has SDOT; old kernels do not report asimddp.

source: the MIDR table of pytorch/cpuinfo, src/arm/linux/aarch64-isa.c
"""


@dataclass(frozen=True)
class Footprint:
    """What one model costs in a process of its own; medians over the starts.

    cold_start_ms:   process start to first answer: the interpreter, its imports, load, one run
    load_ms:         the part of it from loading the file to the first answer: what an app adds to its own start
    *_low_ms, *_high_ms: the fastest and the slowest start
    peak_bytes:      most memory held (VmHWM) above the process with only the runtime imported
    pss_bytes:       proportional set size added, after the runs
    anonymous_bytes: the part that no file backs, which a phone cannot drop
    empty_*_bytes:   the process with only the runtime imported
    missing:         why a figure is None; empty where none is
    """

    format: str
    threads: int
    starts: int
    cold_start_ms: float
    cold_start_low_ms: float
    cold_start_high_ms: float
    load_ms: float
    load_low_ms: float
    load_high_ms: float
    peak_bytes: int | None
    pss_bytes: int | None
    anonymous_bytes: int | None
    empty_rss_bytes: int | None
    empty_pss_bytes: int | None
    missing: str
    method: str


def footprint(
    model: Path, format: str, *, threads: int = 1, starts: int = 5, samples: int | None = None, timeout_s: float = 120.0
) -> Footprint:
    """Start a fresh process several times that runs one model on seeded noise, and report memory and cold start.

    model:   a file with one float32 input
    format:  "onnx" or "tflite"
    samples: length of the waveform, where the model leaves it open
    raises:  EdgecompError with the child's last line where the model cannot be loaded or run
    """
    if format not in FORMATS:
        raise EdgecompError(f"no probe for format {format!r}", where=model, fix=nearest(format, FORMATS))
    if starts < 1:
        raise EdgecompError(f"starts is {starts}", where="footprint", fix="at least 1")
    command = [sys.executable, "-P", str(PROBE), str(model), format, "--threads", str(threads)]
    if samples is not None:
        command += ["--samples", str(samples)]
    probes = [_start(command, model, timeout_s) for _ in range(starts)]
    cold, load = [p["cold_ms"] for p in probes], [p["load_ms"] for p in probes]

    def middle(figure: str) -> int | None:
        values = [p["memory"][figure] for p in probes if figure in p["memory"]]
        return int(statistics.median(values)) if values else None

    return Footprint(
        format=format,
        threads=threads,
        starts=starts,
        cold_start_ms=statistics.median(cold),
        cold_start_low_ms=min(cold),
        cold_start_high_ms=max(cold),
        load_ms=statistics.median(load),
        load_low_ms=min(load),
        load_high_ms=max(load),
        peak_bytes=middle("peak_bytes"),
        pss_bytes=middle("pss_bytes"),
        anonymous_bytes=middle("anonymous_bytes"),
        empty_rss_bytes=middle("empty_rss_bytes"),
        empty_pss_bytes=middle("empty_pss_bytes"),
        missing=next((p["reason"] for p in probes if p["reason"]), ""),
        method=f"median of {starts} fresh processes, {_count(threads, 'thread')}, file in the page cache; runtime "
        "imported first, peak reset (clear_refs 5), then load and run; VmHWM, PSS, anonymous memory above that",
    )


def describe() -> dict[str, object]:
    """Return what this machine is: processor, memory, system, library versions and how busy it is.

    Figures that cannot be read are None.
    """
    facts = cpu_facts(_read("/proc/cpuinfo") or "")
    cores = os.cpu_count() or 1
    cpu = facts["cpu"] or platform.processor() or platform.machine()
    return facts | {
        "cpu": cpu,
        "isa": platform.machine(),
        "cores": cores,
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        "ram_bytes": _ram_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "device": device_name(cpu, cores),
    }


def device_name(cpu: str | None = None, cores: int | None = None) -> str:
    """Return the device of everything measured here: "host (CPU model, n cores)", never a phone's name."""
    cpu = cpu or cpu_facts(_read("/proc/cpuinfo") or "")["cpu"] or platform.processor() or platform.machine()
    return f"host ({cpu}, {_count(cores or os.cpu_count() or 1, 'core')})"


def has_dot_product() -> bool | None:
    """Say whether int8 products have an instruction here: VNNI on x86, SDOT on Arm; None where it cannot be known.

    On x86 without it, u8 × s8 products of 8-bit weights can saturate, so int8 outputs may differ from those of a phone.
    """
    return cpu_facts(_read("/proc/cpuinfo") or "")["dot_product"]


def cpu_facts(cpuinfo: str) -> dict[str, object]:
    """Read the text of /proc/cpuinfo: cpu, features that matter, midr of each kind of Arm core, dot_product.

    dot_product: True only where every core has it; None where the text does not say
    """
    rows = [tuple(part.strip() for part in line.split(":", 1)) for line in cpuinfo.splitlines() if ":" in line]
    named = {key: value for key, value in reversed(rows) if value}  # the first of each key
    name = next((named[key] for key in ("model name", "Model", "Hardware") if key in named), None)
    flags = [set(value.split()) for key, value in rows if key in ("flags", "Features")]
    common = set.intersection(*flags) if flags else set()
    kinds = _arm_kinds(rows)
    midr = sorted(f"{vendor:#04x}:{part:#05x}:r{variant}" for vendor, part, variant in kinds)
    if kinds:
        dot = "asimddp" in common or all(_arm_dot(kind) for kind in kinds)
    else:
        dot = bool(common & {"avx512_vnni", "avx_vnni"}) if common else None
    return {
        "cpu": name or ", ".join(midr) or None,
        "features": [name for name in FEATURES if name in common],
        "midr": midr,
        "dot_product": dot,
    }


def _arm_kinds(rows: list[tuple[str, ...]]) -> set[tuple[int, int, int]]:
    """Return (implementer, part, variant) of each kind of Arm core."""
    kinds, core = set(), {}
    for key, value in rows:
        if key in ("CPU implementer", "CPU variant", "CPU part"):
            core[key] = int(value, 16)
        if key == "CPU revision" and "CPU part" in core:
            kinds.add((core["CPU implementer"], core["CPU part"], core.get("CPU variant", 0)))
            core = {}
    return kinds


def _arm_dot(kind: tuple[int, int, int]) -> bool:
    since = ARM_DOT_PRODUCT.get(kind[:2])
    return since is not None and kind[2] >= since


def _start(command: list[str], model: Path, timeout_s: float) -> dict:
    begun_ns = time.monotonic_ns()  # one clock for all processes of a machine
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise EdgecompError(
            f"no answer within {timeout_s:g} s", where=model, fix="a larger timeout_s, or a smaller model"
        ) from None
    except OSError as why:
        raise EdgecompError(f"cannot start a process to measure in: {why.strerror}", where=command[0]) from None
    if child.returncode < 0:
        raise EdgecompError(
            f"the process that ran the model was ended by {signal.Signals(-child.returncode).name}",
            where=model,
            fix="check that the file is whole and that memory is left",
        )
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EdgecompError(
            f"the model cannot be run: {last}", where=model, fix="export it again; it must take one float32 waveform"
        )
    probe = json.loads(child.stdout.strip().splitlines()[-1])
    return probe | {"cold_ms": (probe["first_answer_ns"] - begun_ns) / 1e6}


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _ram_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
