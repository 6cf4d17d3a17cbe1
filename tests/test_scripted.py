"""devices/_scripted.py: what cannot be started there is said with what to do."""

import pytest

from edgecomp.devices._scripted import Local
from edgecomp.errors import DeviceError


class Broken(Local):
    """A machine whose way there is missing on this one."""

    name = "a machine far away"

    def command(self, arguments):
        return ["/no/such/program", *arguments]


def test_a_program_that_cannot_be_started_is_named_with_what_to_do():
    with (
        Broken() as device,
        pytest.raises(DeviceError, match="/no/such/program cannot be started: No such file") as caught,
    ):
        device.describe()
    assert caught.value.where == "a machine far away" and "edgecomp devices list" in caught.value.fix
