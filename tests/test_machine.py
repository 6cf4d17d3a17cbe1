"""portable/machine: what a machine says of itself, from texts of boards, phones and PCs, and on this one."""

import ast
import json
import os
import platform
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from edgecomp.portable import machine

PORTABLE = Path(machine.__file__).parent
V8 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32"
A72, A76, A53_R0, A73 = 0x410FD083, 0x414FD0B1, 0x410FD034, 0x410FD092


def arm(*cores, features, tail="", head=""):
    """Return the text of /proc/cpuinfo of an Arm machine; cores as (implementer, variant, part, revision)."""
    return (
        "\n".join(
            f"processor\t: {n}\n{head}BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: {vendor:#x}\n"
            f"CPU architecture: 8\nCPU variant\t: {variant:#x}\nCPU part\t: {part:#x}\nCPU revision\t: {revision}\n"
            for n, (vendor, variant, part, revision) in enumerate(cores)
        )
        + "\n"
        + tail
    )


PI4 = arm(
    *[(0x41, 0, 0xD08, 3)] * 4,
    features="fp asimd evtstrm crc32 cpuid",
    tail="Hardware\t: BCM2835\nRevision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
)
PI5 = arm(
    *[(0x41, 4, 0xD0B, 1)] * 4,
    features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    tail="Revision\t: c04170\nSerial\t\t: 1000000012345678\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
)
PHONE = arm(
    *[(0x51, 0xA, 0x801, 4)] * 4,
    *[(0x51, 0xA, 0x800, 2)] * 4,
    features="fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid",
    head="model name\t: ARMv8 Processor rev 4 (v8l)\n",
    tail="Hardware\t: Qualcomm Technologies, Inc SM6225\n",
)
LATE_PHONE = arm(
    *[(0x41, 0, 0xD05, 0)] * 6,
    *[(0x41, 3, 0xD0B, 0)] * 2,
    features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop",
    head="model name\t: AArch64 Processor rev 0 (aarch64)\n",
)
X86 = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Celeron(R) N4020 CPU @ 1.10GHz\n"
    "flags\t\t: fpu vme sse sse2 ssse3 sse4_1 sse4_2 movbe popcnt aes rdrand\n\n"
)


@pytest.mark.parametrize(
    ("text", "midr", "cpu", "features", "dot"),
    [
        (PI4, (), "Cortex-A72", ["asimd"], False),
        (PI4, (A72,) * 4, "Cortex-A72", ["asimd"], False),
        (PI5, (A76,) * 4, "Cortex-A76", ["asimd", "asimdhp", "asimddp"], True),
        (PHONE, (), "Qualcomm Technologies, Inc SM6225", ["asimd"], False),
        (LATE_PHONE, (), "Cortex-A55 + Cortex-A76", ["asimd", "asimdhp"], False),  # this A55, r0, has no dot product
        (X86, (), "Intel(R) Celeron(R) N4020 CPU @ 1.10GHz", ["sse4_2"], False),
        ("", (), None, [], None),
    ],
    ids=["Pi 4", "Pi 4 with MIDR", "Pi 5", "Snapdragon 680", "phone with A55 r0", "Celeron", "nothing"],
)
def test_a_processor_is_known_by_its_text_and_its_registers(text, midr, cpu, features, dot):
    facts = machine.cpu_facts(text, midr)
    assert (facts["cpu"], facts["features"], facts["dot_product"]) == (cpu, features, dot)


def test_the_registers_go_before_the_text():
    facts = machine.cpu_facts(PI5, (A53_R0, A73))
    assert facts["core_names"] == ["Cortex-A53", "Cortex-A73"]
    assert facts["midr"] == ["0x41:0xd03:r0", "0x41:0xd09:r0"]


def test_an_unknown_core_is_shown_by_its_numbers():
    facts = machine.cpu_facts(arm((0x61, 1, 0x22, 1), features="fp asimd"))
    assert facts["cpu"] == "0x61:0x022:r1" and facts["core_names"] == []


@pytest.fixture
def files(monkeypatch):
    """Let machine read and find only these files."""
    found: dict[str, str] = {}
    monkeypatch.setattr(machine, "read", found.get)

    def found_by(pattern: str) -> list[str]:
        depth = pattern.count("/") + 1
        return sorted(one for one in {"/".join(file.split("/")[:depth]) for file in found} if fnmatch(one, pattern))

    monkeypatch.setattr(machine.glob, "glob", found_by)
    return found


def test_registers_are_read_in_the_order_of_the_cores(files):
    for core in (0, 1, 2, 10):
        files[f"/sys/devices/system/cpu/cpu{core}/regs/identification/midr_el1"] = f"0x{A53_R0 + core:016x}"
    assert machine.registers() == tuple(A53_R0 + core for core in (0, 1, 2, 10))


def test_a_board_names_itself_and_its_chip_in_the_device_tree(files):
    files["/proc/device-tree/model"] = "Raspberry Pi 5 Model B Rev 1.0\0"
    files["/proc/device-tree/compatible"] = "raspberrypi,5-model-b\0brcm,bcm2712\0"
    assert machine.model() == "Raspberry Pi 5 Model B Rev 1.0" and machine.soc() == "brcm,bcm2712"


def test_a_phone_names_its_chip_where_its_kernel_does(files):
    files |= {"/sys/devices/soc0/family": "Snapdragon", "/sys/devices/soc0/machine": "SM6225"}
    assert machine.soc() == "Snapdragon SM6225" and machine.model() is None


def test_what_changes_is_read_in_its_units(files):
    files |= {
        "/proc/meminfo": "MemTotal:        1920000 kB\nMemAvailable:     812000 kB",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000",
        "/sys/class/thermal/thermal_zone0/temp": "48250",
        "/sys/class/thermal/thermal_zone1/temp": "-40000",  # a sensor that is off
        "/sys/class/power_supply/bms/type": "Battery",
        "/sys/class/power_supply/bms/capacity": "83",
        "/sys/class/power_supply/bms/current_now": "-120000",
        "/sys/class/power_supply/bms/status": "Discharging",
    }
    now = machine.state()
    assert now["free_bytes"] == 812_000 * 1024 and now["governor"] == "schedutil" and now["clock_khz"] == [1_500_000]
    assert now["temperature_c"] == 48.25
    battery = now["battery"]
    assert battery["percent"] == 83 and battery["current_ua"] == -120_000 and battery["charge_uah"] is None


def test_energy_is_summed_over_packages_and_not_over_their_parts(files):
    zones = {"0": "package-0", "1": "package-1", "0:0": "core", "2": "psys"}
    files |= {f"/sys/class/powercap/intel-rapl:{zone}/energy_uj": "100" for zone in zones}
    files |= {f"/sys/class/powercap/intel-rapl:{zone}/name": name for zone, name in zones.items()}
    assert machine.energy_uj() == 200
    files["/sys/class/powercap/intel-rapl:1/energy_uj"] = None  # for root alone
    assert machine.energy_uj() is None


def test_this_machine_says_what_it_is_as_a_script():
    said = subprocess.run(
        [sys.executable, "-I", str(PORTABLE / "machine.py")], capture_output=True, text=True, check=True
    ).stdout
    facts = json.loads(said)
    assert facts["cores"] == os.cpu_count() and facts["isa"] == platform.machine() and facts["ram_bytes"] > 2**28
    assert facts["python"] == platform.python_version() and set(machine.state()) <= set(facts)


@pytest.mark.skipif(platform.machine() in ("aarch64", "arm64"), reason="this is an Arm machine")
def test_off_arm_no_instruction_is_tried():
    assert machine.registers() == ()


@pytest.mark.parametrize("file", sorted(PORTABLE.glob("*.py")), ids=lambda file: file.name)
def test_what_is_copied_elsewhere_runs_on_python_3_9(file):
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    late = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    hints = [
        node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation
    ]
    hints += [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns]
    unions = [one.lineno for hint in hints for one in ast.walk(hint) if isinstance(one, ast.BinOp)]
    assert late or not unions, f"X | Y is evaluated there in lines {unions}; quote it"
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not any(
        one.arg == "strict" and getattr(call.func, "id", "") == "zip" for call in calls for one in call.keywords
    )


@pytest.mark.parametrize("file", sorted(PORTABLE.glob("*.py")), ids=lambda file: file.name)
def test_what_is_copied_elsewhere_needs_only_numpy_and_a_runtime(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {one.stem for one in PORTABLE.glob("*.py")}
    allowed = own | {"numpy", "onnxruntime", "ai_edge_litert"} | sys.stdlib_module_names
    assert {name.split(".")[0] for name in names} <= allowed
