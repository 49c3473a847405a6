"""``HOLDFAST_FAULT``: what may be broken on purpose, and where. No setting: production servers refuse the variable.

Two things have to come together, so that no stray variable ends a server that keeps somebody's files: the program runs
from a checkout that has its fault tests beside it (an installed package or an image never has), and a second variable
allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.config.setting import PREFIX
from appliance.errors import ConfigError
from appliance.faults import Fault

FAULT = PREFIX + "FAULT"
ALLOW = PREFIX + "TEST_FAULTS"
"""Has to be ``allowed``."""

_CHECKOUT = Path(__file__).parents[2]


def faults_are_allowed(environ: Mapping[str, str]) -> bool:
    """Whether this is a test build whose user wants it broken."""
    return environ.get(ALLOW) == "allowed" and (_CHECKOUT / "tests" / "faults").is_dir()


def fault(environ: Mapping[str, str]) -> Fault | None:
    """The fault to arm; None if none is asked for, or where faults are not allowed (``load`` refuses it there).

    Raises:
        ConfigError: it is none.
    """
    text = environ.get(FAULT)
    if not text or not faults_are_allowed(environ):
        return None
    try:
        return Fault.parse(text)
    except ValueError as error:
        raise ConfigError(setting=FAULT, problem=f"{error}; write NAME:n, NAME:n:ENOSPC or NAME:n:kill") from error
