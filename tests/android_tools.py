"""Things of the system that the Android tests need: fetched by android_demo/checks, and skipped with a reason where not."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from android_demo.checks.toolchain import Absent

T = TypeVar("T")


def have(get: Callable[..., T], *arguments: object, required: bool = False) -> T:
    """Return what a function of android_demo/checks gives; where it cannot be had skip, or fail in CI if it is required."""
    try:
        return get(*arguments)
    except Absent as why:
        if required and os.environ.get("CI") == "true":
            pytest.fail(f"{why}; it is required in CI")
        pytest.skip(str(why))
