"""devices/host and its probe: what this machine is, and what a model costs in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecomp.devices import host
from edgecomp.errors import EdgecompError
from edgecomp.portable import machine
from tests.shared_data import shared_data

X86 = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8375C
flags\t\t: fpu sse4_2 avx2 avx512f avx512_vnni fma

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8375C
flags\t\t: fpu sse4_2 avx2 avx512f avx512_vnni fma
"""


def arm(*cores, features="fp asimd crc32"):
    return (
        "\n".join(
            f"processor\t: {n}\nFeatures\t: {features}\nCPU implementer\t: {vendor:#x}\nCPU architecture: 8\n"
            f"CPU variant\t: {variant:#x}\nCPU part\t: {part:#x}\nCPU revision\t: 4\n"
            for n, (vendor, part, variant) in enumerate(cores)
        )
        + "Hardware\t: Qualcomm Technologies, Inc SM6225\n"
    )


def tiny_onnx(path: Path, *, samples: int | str = 160, dtype=TensorProto.FLOAT, hidden: int = 2) -> Path:
    weight = np.ones((160, hidden), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["waveform", "weight"], ["scores"])],
        "tiny",
        [helper.make_tensor_value_info("waveform", dtype, ["batch", samples])],
        [helper.make_tensor_value_info("scores", dtype, ["batch", hidden])],
        [numpy_helper.from_array(weight, "weight")]
        if dtype == TensorProto.FLOAT
        else [numpy_helper.from_array(weight.astype(np.float64), "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


needs_proc = pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no /proc/self/clear_refs here")


@needs_proc
def test_a_larger_model_takes_more_memory(tmp_path):
    small = host.footprint(tiny_onnx(tmp_path / "small.onnx"), "onnx", starts=2)
    large = host.footprint(tiny_onnx(tmp_path / "large.onnx", hidden=40_000), "onnx", starts=2)
    weights = 160 * (40_000 - 2) * 4
    assert small.missing == "" and 0 < small.peak_bytes < weights / 2
    assert large.peak_bytes - small.peak_bytes > 0.9 * weights
    assert large.anonymous_bytes - small.anonymous_bytes > 0.9 * weights
    assert large.pss_bytes - small.pss_bytes > 0.9 * weights
    assert large.empty_rss_bytes == pytest.approx(small.empty_rss_bytes, rel=0.05)
    assert 0 < small.load_ms < small.cold_start_ms
    assert small.cold_start_low_ms <= small.cold_start_ms <= small.cold_start_high_ms
    assert "2 fresh processes, 1 thread," in small.method


@needs_proc
def test_a_pretrained_tflite_file_is_probed():
    found = host.footprint(shared_data("peer_models") / "kwt1_speechcommands12.tflite", "tflite", starts=1)
    assert 3_617_784 < found.peak_bytes < 40e6, "the file is 3.6 MB, its weights are touched"
    assert found.anonymous_bytes < found.pss_bytes <= found.peak_bytes + 2**20


def test_figures_that_cannot_be_read_are_none_with_the_reason(tmp_path, monkeypatch):
    stub = tmp_path / "stub.py"
    said = {"first_answer_ns": 0, "load_ms": 3.0, "memory": {"pss_bytes": 7}, "reason": "the peak cannot be reset: why"}
    stub.write_text(f"print('''{json.dumps(said)}''')")
    monkeypatch.setattr(host, "PROBE", stub)
    found = host.footprint(tmp_path / "any.onnx", "onnx", starts=2)
    assert found.peak_bytes is None and found.pss_bytes == 7 and found.missing == "the peak cannot be reset: why"


def test_the_probe_without_proc_says_so_and_still_times(tmp_path):
    model = tiny_onnx(tmp_path / "tiny.onnx")
    code = (
        "import runpy, sys, pathlib\n"
        "def absent(self, *a, **k): raise FileNotFoundError(2, 'No such file', str(self))\n"
        "pathlib.Path.write_text = pathlib.Path.read_text = absent\n"
        f"sys.argv = ['probe', {str(model)!r}, 'onnx']\n"
        f"runpy.run_path({str(host.PROBE)!r}, run_name='__main__')\n"
    )
    said = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert said["memory"] == {} and said["load_ms"] > 0
    assert said["reason"] == "memory cannot be read: /proc/self/smaps_rollup: No such file"


@needs_proc
def test_what_the_imports_held_and_gave_back_is_not_counted_as_the_models_peak():
    code = (
        "import json, runpy\n"
        f"probe = runpy.run_path({str(host.PROBE)!r})\n"
        "held = bytearray(b'x' * 2**26); del held\n"
        "print(json.dumps(probe['memory_after'](probe['memory_before']()[0])))\n"
    )
    said = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert said["peak_bytes"] < 2**23


def test_a_file_beside_the_probe_cannot_shadow_a_module(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    stub = tmp_path / "stub.py"
    stub.write_text(host.PROBE.read_text())
    (tmp_path / "cpuid.py").write_text(host.PROBE.with_name("cpuid.py").read_text())
    monkeypatch.setattr(host, "PROBE", stub)
    assert host.footprint(tiny_onnx(tmp_path / "tiny.onnx"), "onnx", starts=1).load_ms > 0


def test_the_probe_imports_nothing_of_edgecomp(tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['probe', {str(tiny_onnx(tmp_path / 'tiny.onnx'))!r}, 'onnx']\n"
        f"runpy.run_path({str(host.PROBE)!r}, run_name='__main__')\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('edgecomp', 'torch', 'pydantic', 'scipy')])\n"
    )
    said = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_corrupt_model_is_one_error_with_the_childs_last_line(tmp_path, format):
    broken = tmp_path / f"model.{format}"
    broken.write_bytes(b"not a model" * 50)
    with pytest.raises(EdgecompError, match=r"the model cannot be run: .*(INVALID_PROTOBUF|Flatbuffer)") as caught:
        host.footprint(broken, format, starts=1)
    assert str(broken) in caught.value.where and "Traceback" not in str(caught.value)


def test_a_model_that_takes_no_float32_is_refused(tmp_path):
    model = tiny_onnx(tmp_path / "double.onnx", dtype=TensorProto.DOUBLE)
    with pytest.raises(EdgecompError, match=r"one float32 input is wanted, this one has 1, .* tensor\(double\)"):
        host.footprint(model, "onnx", starts=1)


def test_a_free_length_must_be_given(tmp_path):
    model = tiny_onnx(tmp_path / "free.onnx", samples="length")
    with pytest.raises(EdgecompError, match=r"free length .*length.*; give --samples"):
        host.footprint(model, "onnx", starts=1)
    assert host.footprint(model, "onnx", starts=1, samples=160).load_ms > 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("import time; time.sleep(30)", "no answer within 0.5 s"),
    ],
)
def test_a_child_that_dies_or_hangs_is_an_error(tmp_path, monkeypatch, code, message):
    stub = tmp_path / "stub.py"
    stub.write_text(code)
    monkeypatch.setattr(host, "PROBE", stub)
    with pytest.raises(EdgecompError, match=message):
        host.footprint(tmp_path / "any.onnx", "onnx", starts=1, timeout_s=0.5 if "sleep" in code else 20)


def test_an_unknown_format_names_those_there_are(tmp_path):
    with pytest.raises(EdgecompError, match="no probe for format 'onx'") as caught:
        host.footprint(tmp_path / "a", "onx")
    assert "did you mean 'onnx'? allowed: onnx, tflite" in str(caught.value)


def test_x86_facts_are_read_from_cpuinfo():
    facts = machine.cpu_facts(X86)
    assert facts["cpu"] == "Intel(R) Xeon(R) Platinum 8375C" and facts["dot_product"] is True
    assert facts["features"] == ["sse4_2", "avx2", "fma", "avx512f", "avx512_vnni"] and facts["midr"] == []
    assert machine.cpu_facts(X86.replace("avx512_vnni ", ""))["dot_product"] is False


@pytest.mark.parametrize(
    ("text", "dot"),
    [
        (arm((0x41, 0xD03, 0)), False),  # Cortex-A53
        (arm((0x41, 0xD05, 1), (0x41, 0xD0A, 2)), True),  # old kernel: A55 r1 and A75 r2
        (arm((0x41, 0xD05, 1), (0x41, 0xD0A, 1)), False),  # A75 r1 lacks it: not every core has it
        (arm((0x41, 0xD99, 0), features="fp asimd asimddp"), True),  # unknown core, the kernel says so
        ("", None),
    ],
)
def test_arm_dot_product_comes_from_the_kernel_or_from_midr(text, dot):
    assert machine.cpu_facts(text)["dot_product"] is dot


def test_arm_cores_are_named_by_midr():
    facts = machine.cpu_facts(arm((0x41, 0xD03, 0), (0x41, 0xD09, 0), (0x41, 0xD03, 0)))
    assert facts["midr"] == ["0x41:0xd03:r0", "0x41:0xd09:r0"] and facts["cpu"] == "Qualcomm Technologies, Inc SM6225"


def test_this_machine_describes_itself_without_importing_the_heavy_libraries():
    code = (
        "import json, sys; from edgecomp.devices import host; print(json.dumps(host.describe()));"
        "print(sorted({'torch', 'onnxruntime', 'ai_edge_litert'} & sys.modules.keys()))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    facts, heavy = json.loads(said.splitlines()[0]), said.splitlines()[1]
    assert heavy == "[]" and facts["cores"] >= 1 and facts["ram_bytes"] > 2**28
    assert facts["versions"]["onnxruntime"] and facts["versions"]["ai-edge-litert"]
    assert facts["device"] == host.device_name() and facts["device"].startswith("host (")
