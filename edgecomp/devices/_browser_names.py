"""What browsers are called in results: this machine's Chromium, and visitors by their own account."""

from __future__ import annotations

import re

from edgecomp.portable import machine


def short(told: str) -> str:
    """Return "Chromium 150" of "Chromium 150.0.7871.100"."""
    return re.sub(r"(\d+)\.[\d.]+$", r"\1", told)


def host() -> str:
    """Return this machine's name as the host device has it."""
    facts = machine.describe()
    return f"host ({facts['cpu']}, {facts['cores']} core{'' if facts['cores'] == 1 else 's'})"


def browser(agent: str) -> str:
    """Return what a browser says of itself in short: "Chrome 142 on Linux; Android 10; K, by its own account"."""
    on = system(agent) or "an unknown system"
    kinds = (("Edg", "Edge"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"))
    kinds += (("CriOS", "Chrome"), ("HeadlessChrome", "Headless Chrome"), ("Chrome", "Chrome"), ("Version", "Safari"))
    for token, kind in kinds:
        if found := re.search(rf"\b{token}/(\d+)", agent):
            return f"{kind} {found[1]} on {on}, by its own account"
    return f"{agent[:120]}, by its own account"


def system(agent: str) -> str | None:
    """Return the system that a user agent states, or None."""
    found = re.search(r"\(([^)]*)\)", agent)
    return found[1] if found else None
