"""Things of the system that the Android tests need: fetched by android_demo/checks, and skipped with a reason where not."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from android_demo.checks.toolchain import Absent

T = TypeVar("T")


def have(get: Callable[..., T], *arguments: object) -> T:
    """Return what a function of android_demo/checks gives; skip the test, saying why, where it cannot be had."""
    try:
        return get(*arguments)
    except Absent as why:
        pytest.skip(str(why))
