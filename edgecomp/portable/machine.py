"""What a Linux machine is and how it is now: processor, memory, clocks, heat, battery. Standard library only.

Imported on this host, and copied to other machines, where `python machine.py` writes the same as JSON.
What cannot be read is None.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import struct
import sys
import tempfile
from pathlib import Path

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

ARM_CORES = {
    (0x41, 0xD03): ("Cortex-A53", None),
    (0x41, 0xD04): ("Cortex-A35", None),
    (0x41, 0xD05): ("Cortex-A55", 1),
    (0x41, 0xD07): ("Cortex-A57", None),
    (0x41, 0xD08): ("Cortex-A72", None),
    (0x41, 0xD09): ("Cortex-A73", None),
    (0x41, 0xD0A): ("Cortex-A75", 2),
    (0x41, 0xD0B): ("Cortex-A76", 0),
    (0x41, 0xD0C): ("Neoverse N1", 0),
    (0x41, 0xD0D): ("Cortex-A77", 0),
    (0x41, 0xD41): ("Cortex-A78", 0),
    (0x41, 0xD47): ("Cortex-A710", 0),
    (0x51, 0x804): ("Kryo 485 Gold", 0),
    (0x51, 0x805): ("Kryo 485 Silver", 0),
}
"""By (implementer, part): the core's name, and the variant from which it has SDOT, None for never.

Old kernels do not report asimddp.
source: the MIDR table of pytorch/cpuinfo, src/arm/linux/aarch64-isa.c; names: Arm's technical reference manuals
"""


GENERIC = ("ARMv", "AArch64 Processor", "BCM2835")
"""How a processor's name in /proc/cpuinfo begins where it names none; BCM2835 stands there for every Raspberry Pi."""
READ_MIDR = struct.pack("<II", 0xD5380000, 0xD65F03C0)
"""mrs x0, midr_el1; ret."""
HWCAP, HWCAP_CPUID = 16, 1 << 11
"""The kernel answers mrs of an identification register for a process.

source: Linux, Documentation/arch/arm64/cpu-feature-registers.rst
"""


def describe() -> dict[str, object]:
    """Return what this machine is, and how it is now."""
    cores = os.cpu_count() or 1
    facts = cpu_facts(read("/proc/cpuinfo") or "", registers())
    return {
        **facts,
        "cpu": facts["cpu"] or platform.processor() or platform.machine(),
        "model": model(),
        "soc": soc(),
        "isa": platform.machine(),
        "cores": cores,
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        "ram_bytes": ram_bytes(),
        "os": system(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **state(),
    }


def state() -> dict[str, object]:
    """Return what changes from minute to minute: load, free memory, clock and governor, heat, battery."""
    return {
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "free_bytes": memory_line("MemAvailable"),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_khz": clocks_khz(),
        "temperature_c": temperature_c(),
        "battery": battery(),
    }


def cpu_facts(cpuinfo: str, midr: tuple[int, ...] = ()) -> dict[str, object]:
    """Read the text of /proc/cpuinfo and the cores' MIDR registers: cpu, features, midr of each kind of core, dot_product.

    midr:        what the kernel shows of MIDR_EL1, a value for each core; it goes before the text, which some phones fake
    dot_product: whether int8 products have an instruction (VNNI on x86, SDOT on Arm); True only where every core has
                 it, None where the text does not say
    """
    rows = [tuple(part.strip() for part in line.split(":", 1)) for line in cpuinfo.splitlines() if ":" in line]
    named = {row[0]: row[1] for row in reversed(rows) if row[1]}  # the first of each key
    told = (named.get(key, "") for key in ("model name", "Hardware"))
    name = next((text for text in told if text and not text.startswith(GENERIC)), None)
    flags = [set(value.split()) for key, value in rows if key in ("flags", "Features")]
    common = set.intersection(*flags) if flags else set()
    kinds = {_core(value) for value in midr} or _arm_kinds(rows)
    if kinds:
        dot = "asimddp" in common or all(_arm_dot(kind) for kind in kinds)
    else:
        dot = bool(common & {"avx512_vnni", "avx_vnni"}) if common else None
    shown = sorted(f"{vendor:#04x}:{part:#05x}:r{variant}" for vendor, part, variant in kinds)
    cores = sorted({ARM_CORES[kind[:2]][0] for kind in kinds if kind[:2] in ARM_CORES})
    return {
        "cpu": name or " + ".join(cores) or ", ".join(shown) or named.get("Model"),
        "features": [name for name in FEATURES if name in common],
        "midr": shown,
        "core_names": cores,
        "dot_product": dot,
    }


def registers() -> tuple[int, ...]:
    """Return every core's MIDR_EL1, ascending by core: what the kernel shows, or what the cores say; empty off Arm."""
    files = glob.glob("/sys/devices/system/cpu/cpu[0-9]*/regs/identification/midr_el1")
    found = (read(file) for file in sorted(files, key=_core_number))
    return tuple(int(text, 16) for text in found if text) or _asked_registers()


def model() -> str | None:
    """Return what the maker calls this machine: a board's device tree, a phone's property, or a PC's firmware."""
    tree = read("/proc/device-tree/model") or read("/sys/firmware/devicetree/base/model")
    firmware = (read(f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    return (tree or "").strip("\0 ") or " ".join(filter(None, firmware)) or None


def soc() -> str | None:
    """Return the system on a chip: as a phone's kernel names it, or the last entry of a board's device tree."""
    named = " ".join(filter(None, (read(f"/sys/devices/soc0/{name}") for name in ("family", "machine"))))
    tree = read("/proc/device-tree/compatible") or read("/sys/firmware/devicetree/base/compatible") or ""
    return named or tree.strip("\0").rpartition("\0")[2] or None


def system() -> str:
    """Return the system's own name, such as "Debian GNU/Linux 12 (bookworm)"."""
    for line in (read("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip().strip('"')
    return f"{platform.system()} {platform.release()}"


def ram_bytes() -> int | None:
    """Return the memory that is built in."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def memory_line(name: str) -> int | None:
    """Return one line of /proc/meminfo in bytes."""
    for line in (read("/proc/meminfo") or "").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def clocks_khz() -> list[int] | None:
    """Return the clock of every core now."""
    found = [read(f) for f in sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    return [int(text) for text in found if text] or None


def temperature_c() -> float | None:
    """Return the hottest thermal zone; zones out of 0 to 150 °C are sensors that are off."""
    found = []
    for file in glob.glob("/sys/class/thermal/thermal_zone*/temp"):
        text = read(file)
        if text and text.lstrip("-").isdigit() and 0 < int(text) < 150_000:
            found.append(int(text) / 1000)
    return max(found) if found else None


def battery() -> dict[str, object] | None:
    """Return the battery's level, whether it charges, and its counters; None without one."""
    for folder in sorted(glob.glob("/sys/class/power_supply/*")):
        if read(f"{folder}/type") == "Battery":
            numbers = {
                name: _whole(read(f"{folder}/{file}"))
                for name, file in (
                    ("percent", "capacity"),
                    ("charge_uah", "charge_counter"),
                    ("current_ua", "current_now"),
                    ("voltage_uv", "voltage_now"),
                )
            }
            return {**numbers, "status": read(f"{folder}/status")}
    return None


def energy_uj() -> int | None:
    """Return the processor's energy counters (RAPL packages), summed; None where there are none or reading is forbidden.

    source: Linux, Documentation/power/powercap/powercap.rst
    """
    zones = [zone for zone in sorted(glob.glob("/sys/class/powercap/intel-rapl:[0-9]*")) if zone.count(":") == 1]
    packages = [zone for zone in zones if (read(f"{zone}/name") or "").startswith("package")]  # psys holds them again
    found = [_whole(read(f"{zone}/energy_uj")) for zone in packages]
    return sum(found) if found and None not in found else None


def read(path: str) -> str | None:
    """Return a small text file without the space around it."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdigit() else None


def _core_number(file: str) -> int:
    return int(file.split("/cpu/cpu")[1].split("/")[0])


def _asked_registers() -> tuple[int, ...]:
    """Execute the instruction that reads MIDR_EL1 on each core in turn; empty where the kernel does not answer it.

    The instruction comes from a file that is mapped as code, so that the kernel keeps the instruction cache true.
    """
    if platform.machine() not in ("aarch64", "arm64") or not hasattr(os, "sched_setaffinity"):
        return ()
    try:
        import ctypes
        import mmap

        libc = ctypes.CDLL(None)
        libc.getauxval.argtypes, libc.getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
        if not libc.getauxval(HWCAP) & HWCAP_CPUID:
            return ()
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.mmap.restype = ctypes.c_void_p
        with tempfile.TemporaryFile() as file:
            file.write(READ_MIDR)
            file.flush()
            code = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, file.fileno(), 0)
        if code in (None, ctypes.c_void_p(-1).value):
            return ()
        ask, allowed = ctypes.CFUNCTYPE(ctypes.c_uint64)(code), os.sched_getaffinity(0)
        try:
            return tuple(ask() for core in sorted(allowed) if os.sched_setaffinity(0, {core}) is None)
        finally:
            os.sched_setaffinity(0, allowed)
    except (ImportError, AttributeError, OSError):  # no ctypes, another libc, or a system that forbids it
        return ()


def _core(midr: int) -> tuple[int, int, int]:
    """Split MIDR_EL1 into (implementer, part, variant); Arm ARM, D19.2.96."""
    return midr >> 24 & 0xFF, midr >> 4 & 0xFFF, midr >> 20 & 0xF


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
    since = ARM_CORES.get(kind[:2], ("", None))[1]
    return since is not None and kind[2] >= since


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe()) + "\n")
