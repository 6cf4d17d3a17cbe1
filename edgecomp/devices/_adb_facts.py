"""What a phone says of itself through its shell: one script that asks, and parsers of what came back. None: unknown."""

from __future__ import annotations

import re
from typing import Any

from edgecomp.portable import machine

SECTIONS = {
    "properties": "getprop",
    "cpuinfo": "cat /proc/cpuinfo",
    "midr": "cat /sys/devices/system/cpu/cpu[0-9]*/regs/identification/midr_el1",
    "possible": "cat /sys/devices/system/cpu/possible",
    "governors": "cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor",
    "clocks": "cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "highest": "cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    "memory": "cat /proc/meminfo",
    "kernel": "uname -sr",
    "isa": "uname -m",
    "load": "cat /proc/loadavg",
    "battery": "dumpsys battery",
    "thermal": "dumpsys thermalservice",
    "saver": "settings get global low_power",
}
MARK = "@@edgecomp "
SCRIPT = "; ".join(f"echo '{MARK}{name}'; {command} 2>/dev/null" for name, command in SECTIONS.items()) + "; true"
"""Prints every section after its mark; a tool that the phone lacks leaves its section empty."""
STATE_SCRIPT = (
    "; ".join(f"echo '{MARK}{name}'; {SECTIONS[name]} 2>/dev/null" for name in ("battery", "thermal", "saver"))
    + "; true"
)

THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""source: Android's PowerManager.THERMAL_STATUS_*, 0 to 6; from moderate on, the phone slows what it runs."""
CHARGES = (2, 5)
"""BatteryManager.BATTERY_STATUS_CHARGING and _FULL."""


def sections(text: str) -> dict[str, str]:
    """Split what the script printed into its sections."""
    found: dict[str, list[str]] = {}
    lines = found.setdefault("", [])
    for line in text.splitlines():
        if line.startswith(MARK):
            lines = found.setdefault(line.removeprefix(MARK).strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def facts(said: dict[str, str]) -> dict[str, Any]:
    """Return what the phone is and how it is now, under the names that machine.describe() uses."""
    properties = parse_properties(said.get("properties", ""))
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", said.get("memory", ""), re.MULTILINE))
    registers = tuple(int(word, 16) for word in said.get("midr", "").split() if re.fullmatch(r"0x[0-9a-fA-F]+", word))
    cpuinfo = said.get("cpuinfo", "")
    cores = _count_cores(said.get("possible", "")) or len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or None
    release, patch = properties.get("ro.build.version.release"), properties.get("ro.build.version.security_patch")
    governors = said.get("governors", "").split()
    heat = parse_battery(said.get("battery", ""))
    return {
        **machine.cpu_facts(cpuinfo, registers),
        "model": phone_model(properties),
        "soc": _soc(properties),
        "isa": said.get("isa") or None,
        "abis": [abi for abi in properties.get("ro.product.cpu.abilist", "").split(",") if abi],
        "cores": cores,
        "ram_bytes": int(memory["MemTotal"]) * 1024 if "MemTotal" in memory else None,
        "free_bytes": int(memory["MemAvailable"]) * 1024 if "MemAvailable" in memory else None,
        "os": f"Android {release}" + (f", security patch {patch}" if patch else "") if release else None,
        "api": int(properties["ro.build.version.sdk"])
        if properties.get("ro.build.version.sdk", "").isdigit()
        else None,
        "kernel": said.get("kernel") or None,
        "governor": ", ".join(dict.fromkeys(governors)) or None,
        "clock_khz": _numbers(said.get("clocks", "")),
        "highest_khz": _numbers(said.get("highest", "")),
        "load_average": [float(word) for word in said.get("load", "").split()[:3]] or None,
        "temperature_c": parse_hottest(said.get("thermal", "")),
        "thermal_status": parse_thermal(said.get("thermal", "")),
        "battery": heat or None,
        "battery_saver": {"0": False, "1": True}.get(said.get("saver", "")),
    }


def parse_properties(text: str) -> dict[str, str]:
    """Read what getprop writes: [name]: [value]."""
    return dict(re.findall(r"^\[([^]]+)\]: \[(.*)\]$", text, re.MULTILINE))


def phone_model(properties: dict[str, str]) -> str | None:
    """Return maker and model, such as "Xiaomi Redmi 7A"."""
    maker, model = (properties.get(f"ro.product.{name}", "").strip() for name in ("manufacturer", "model"))
    if model.lower().startswith(maker.lower()):
        return model or maker or None
    return f"{maker} {model}".strip()


def parse_battery(text: str) -> dict[str, Any]:
    """Read `dumpsys battery`: percent, charging, temperature_c, voltage_uv, charge_uah, status; empty without one."""
    rows = dict(re.findall(r"^\s*([\w ]+?): (\S+)\s*$", text, re.MULTILINE))
    whole = {name: int(value) for name, value in rows.items() if value.lstrip("-").isdigit()}
    if "level" not in whole or rows.get("present") == "false":
        return {}
    powered = any(value == "true" for name, value in rows.items() if name.endswith("powered"))
    return {
        "percent": round(100 * whole["level"] / (whole.get("scale") or 100)),
        "charging": powered or whole.get("status") in CHARGES,
        "temperature_c": whole["temperature"] / 10 if "temperature" in whole else None,
        "voltage_uv": whole["voltage"] * 1000 if "voltage" in whole else None,
        "charge_uah": whole.get("Charge counter"),
        "status": whole.get("status"),
    }


def parse_thermal(text: str) -> int | None:
    """Read the thermal status, 0 to 6, of `dumpsys thermalservice`; None before Android 10."""
    found = re.search(r"Thermal Status: (\d)", text)
    return int(found[1]) if found else None


def parse_hottest(text: str) -> float | None:
    """Read the hottest processor sensor of `dumpsys thermalservice`, °C (type 0: CPU); a sensor at 0 is off."""
    found = re.findall(r"mValue=([\d.]+), mType=0,", text)
    return max((float(value) for value in found if 0 < float(value) < 150), default=None)


def thermal_name(status: int | None) -> str:
    """Return a thermal status in words."""
    return "unknown" if status is None else f"{status} ({THERMAL[status]})" if status < len(THERMAL) else str(status)


def _soc(properties: dict[str, str]) -> str | None:
    """Return the chip: what Android 12 and later say, or the board's own name."""
    maker, model = (properties.get(f"ro.soc.{name}", "") for name in ("manufacturer", "model"))
    board = properties.get("ro.board.platform") or properties.get("ro.hardware")
    return f"{maker} {model}".strip() or board or None


def _count_cores(text: str) -> int | None:
    """Count the CPUs of a kernel list such as "0-7" or "0-3,6"."""
    ranges = re.findall(r"(\d+)(?:-(\d+))?", text)
    return sum(int(last or first) - int(first) + 1 for first, last in ranges) or None


def _numbers(text: str) -> list[int] | None:
    return [int(word) for word in text.split() if word.isdigit()] or None
