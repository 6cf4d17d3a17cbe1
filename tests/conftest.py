"""What holds for all tests: one thread a process, since the suite runs on every core and waiting threads spin."""

import os

import pytest

os.environ["OMP_NUM_THREADS"] = (
    "1"  # read by torch when it is first imported, here and in the processes that tests start
)

SYSTEM = {
    "test_adb_transport",
    "test_android_demo",
    "test_arm64",
    "test_browser",
    "test_embed_android",
    "test_embed_web",
    "test_shipped_parity",
    "test_ssh",
    "test_web_demo",
    "test_x86",
}
"""Files that drive another program than Python (adbd, a JVM, qemu, Chromium, sshd, Node.js): `make test-system`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives another program; such tests skip, saying why, where it cannot be had."""
    for item in items:
        if item.path.stem in SYSTEM:
            item.add_marker(pytest.mark.system)
