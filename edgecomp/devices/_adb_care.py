"""A phone's battery and heat: refuse to measure on an empty battery, wait until it has cooled down, say what remained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from edgecomp.devices._adb_bridge import Bridge
from edgecomp.devices._adb_facts import STATE_SCRIPT, parse_battery, parse_thermal, sections, thermal_name
from edgecomp.devices._adb_report import MODERATE
from edgecomp.errors import DeviceError
from edgecomp.progress import say

LEAST_PERCENT = 20
"""Below it phones save power by themselves: clocks fall, and the run may end with the battery."""
WARM_C = 2.0
"""Above the battery's temperature when the phone was opened, the next run waits for it to cool down."""
ALLOW_LOW = "low-battery"


class Care:
    """Knows how warm the phone was at first."""

    cool_limit_s: float = 300.0
    cool_step_s: float = 10.0

    def __init__(self, bridge: Bridge, battery: Mapping[str, Any], allow_low: bool):
        self._bridge, self._where, self._allow_low = bridge, f"adb:{bridge.serial}", allow_low
        self._rest_c = battery.get("temperature_c")
        self.check_battery(battery)

    def state(self) -> tuple[dict[str, Any], int | None, bool]:
        """Return the battery, the thermal status and whether the battery saver is on, as they are now."""
        said = sections(self._bridge.shell(STATE_SCRIPT).text)
        return parse_battery(said.get("battery", "")), parse_thermal(said.get("thermal", "")), said.get("saver") == "1"

    def check_battery(self, battery: Mapping[str, Any]) -> None:
        """Refuse a battery that is nearly empty and does not charge.

        raises: DeviceError
        """
        if battery and battery["percent"] < LEAST_PERCENT and not battery["charging"] and not self._allow_low:
            raise DeviceError(
                f"the battery is at {battery['percent']} % and does not charge: the phone saves power, and may go out",
                where=self._where,
                fix=f"charge it to {LEAST_PERCENT} %, or measure all the same with --on {self._where},{ALLOW_LOW}",
            )

    def ready(self) -> list[str]:
        """Wait until the phone is cool, and return what is to be said of how a run begins.

        raises: DeviceError for an empty battery
        """
        battery, _, saves = self.state()
        self.check_battery(battery)
        low = battery and battery["percent"] < LEAST_PERCENT
        notes = [self.cool(), "battery saver on" if saves else "", f"battery at {battery['percent']} %" if low else ""]
        return [note for note in notes if note]

    def cool(self, in_a_run: bool = False) -> str:
        """Wait until nothing throttles and the battery is as cool as at first, or a time limit; return what remained.

        in_a_run: between the turns of one run, wait only where the phone throttles
        """
        begun, why = time.monotonic(), self._too_warm(in_a_run)
        while why and (waited := time.monotonic() - begun) < self.cool_limit_s:
            say(f"{self._where}: {why}; cooling down for {waited:.0f} s, {self.cool_limit_s:.0f} s at most")
            time.sleep(self.cool_step_s)
            why = self._too_warm(in_a_run)
        return f"still warm after {self.cool_limit_s:.0f} s: {why}" if why else ""

    def _too_warm(self, in_a_run: bool) -> str:
        battery, status, _ = self.state()
        now_c = battery.get("temperature_c")
        if status is not None and status >= MODERATE:
            return f"thermal status {thermal_name(status)}"
        if not in_a_run and now_c is not None and self._rest_c is not None and now_c > self._rest_c + WARM_C:
            return f"battery at {now_c:.1f} °C, {self._rest_c:.1f} °C at first"
        return ""
