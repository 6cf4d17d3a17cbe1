"""Where the real data lies that tests may use; it never enters the project."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return the folder of a real data set; skip the test where it is absent, and fail there in CI."""
    folder = SHARED / name
    if not folder.exists():
        reason = f"real data {name!r} is not beside this checkout (../shared/data)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; it is required in CI")
        pytest.skip(reason)
    return folder
