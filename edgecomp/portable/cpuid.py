"""What an x86-64 processor says of itself by its own instruction, as JSON. Standard library only.

/proc/cpuinfo is the kernel's word, and under emulation it is that of another processor. CPUID is executed from a file
that is mapped as code, as in machine.py.
"""

import json
import platform
import sys
import tempfile

ASK = bytes.fromhex("53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3")
"""push rbx; eax, ecx = arguments; r8 = place; cpuid; store eax, ebx, ecx, edx at r8; pop rbx; ret (System V's call)."""
EAX, EBX, ECX, EDX = range(4)
FEATURES = {
    "sse4_2": (1, 0, ECX, 20),
    "avx": (1, 0, ECX, 28),
    "avx2": (7, 0, EBX, 5),
    "fma": (1, 0, ECX, 12),
    "f16c": (1, 0, ECX, 29),
    "avx512f": (7, 0, EBX, 16),
    "avx512bw": (7, 0, EBX, 30),
    "avx512_vnni": (7, 0, ECX, 11),
    "avx_vnni": (7, 1, EAX, 4),
    "amx_int8": (7, 0, EDX, 25),
}
"""Leaf, subleaf, register and bit of each, spelt as /proc/cpuinfo does.

source: Intel SDM, volume 2A, CPUID; the dot products are avx512_vnni and avx_vnni
"""
BRAND = (0x80000002, 0x80000003, 0x80000004)


def describe() -> dict:
    """Return the processor's brand and its features."""
    ask = _asker()
    highest, beyond = ask(0, 0)[EAX], ask(0x80000000, 0)[EAX]
    brand = b""
    if beyond >= BRAND[-1]:
        brand = b"".join(word.to_bytes(4, "little") for leaf in BRAND for word in ask(leaf, 0))
    found = [
        name
        for name, (leaf, sub, place, bit) in FEATURES.items()
        if leaf <= highest and ask(leaf, sub)[place] >> bit & 1
    ]
    return {"cpu": brand.decode("ascii", "replace").strip("\0 "), "features": found}


def saturates() -> bool:
    """Say whether ONNX Runtime adds products of unsigned and signed bytes in pairs into 16 bits here, which saturate.

    Those are its kernels for AVX2 without VNNI; the ones for SSE4.2 and AVX do not, nor do those of other processors.
    False where the processor cannot be asked. Tried with ONNX Runtime 1.32 under qemu, see tests/test_x86.py.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        has = set(describe()["features"])
    except (ImportError, AttributeError, OSError):  # no ctypes, another libc, or a system that forbids it
        return False
    return "avx2" in has and not has & {"avx512_vnni", "avx_vnni"}


def _asker():
    """Return (leaf, subleaf) → (eax, ebx, ecx, edx)."""
    import ctypes
    import mmap

    libc = ctypes.CDLL(None)
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mmap.restype = ctypes.c_void_p
    with tempfile.TemporaryFile() as file:
        file.write(ASK)
        file.flush()
        code = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, file.fileno(), 0)
    if code in (None, ctypes.c_void_p(-1).value):
        raise OSError("the system maps no file as code")
    run = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))(code)

    def ask(leaf: int, sub: int) -> tuple:
        words = (ctypes.c_uint32 * 4)()
        run(leaf, sub, words)
        return tuple(words)

    return ask


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe()) + "\n")
