"""Licences as recipes state them, and as SPDX names them."""

from __future__ import annotations

import re

NOT_STATED = {"", "not stated", "unknown"}
SPDX = (
    "0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
    "BSD-3-Clause", "BSL-1.0", "C-UDA-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-2.0",
    "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0",
    "CC-BY-ND-3.0", "CC-BY-ND-4.0", "CC-BY-SA-2.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "ECL-2.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GPL-2.0-only",
    "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later",
    "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "MS-PL", "NCSA", "O-UDA-1.0", "ODC-By-1.0",
    "ODbL-1.0", "OFL-1.1", "PDDL-1.0", "PostgreSQL", "Unlicense", "WTFPL", "Zlib",
)  # fmt: skip
"""The SPDX identifiers that models and data sets are met under (a test holds them against the official list)."""


def is_stated(licence: object) -> bool:
    """Say whether a recipe states a licence at all."""
    return isinstance(licence, str) and licence.strip().casefold() not in NOT_STATED


def spdx_id(licence: object) -> str | None:
    """Return the SPDX identifier that a licence's text is, or None where it says anything else or more.

    Only case, spaces and hyphens are forgiven: "CC BY-SA 4.0" is CC-BY-SA-4.0, "Apache-2.0, trained here" is none.
    """
    return _BY_KEY.get(_key(licence)) if isinstance(licence, str) else None


def _key(text: str) -> str:
    return re.sub(r"[\s-]+", "-", text.strip()).casefold()


_BY_KEY = {_key(one): one for one in SPDX}
