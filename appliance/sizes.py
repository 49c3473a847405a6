"""Sizes as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from appliance.errors import BadRequest

_UNITS = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_FOLDED = {unit.lower(): factor for unit, factor in _UNITS.items()}
# Longer numbers are out of every bound, and int() refuses the longest ones with an error of its own.
_SIZE = re.compile(r"(-?[0-9]{1,30}) ?([A-Za-z]*)")
_LOOSE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([A-Za-z]*)")
_MOST = 1024**6


def read(text: str) -> int | None:
    """Bytes of ``4096``, ``64 MiB`` or ``10 GB``, the units spelled exactly so; None if it is none of these."""
    match = _SIZE.fullmatch(text)
    return None if match is None or match[2] not in _UNITS else int(match[1]) * _UNITS[match[2]]


def parse(text: str) -> int:
    """Bytes of what a person typed: ``1.5 gb`` too.

    Raises:
        BadRequest: it is no size, or more than an exbibyte.
    """
    match = _LOOSE.fullmatch(text.strip())
    unit = None if match is None else _FOLDED.get(match[3].lower())
    if match is None or unit is None:
        raise BadRequest(reason=f"{text.strip()[:40]!r} is no size; write for example 50 GB")
    size = int(Decimal(f"{match[1]}.{match[2] or 0}") * unit)
    if size > _MOST:
        raise BadRequest(reason=f"{text.strip()[:40]!r} is more than a store can hold")
    return size


def show(size: int) -> str:
    """Three digits and a unit of the thousands, rounded: ``1.23 GB``. Below a thousand the number itself."""
    value, unit = Decimal(size), "B"
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        # What would be rounded to 1000 is one of the next unit.
        if value < Decimal("999.5") or unit == "PB":
            break
        value /= 1000
    if unit == "B":
        return f"{size} B"
    places = 2 if value < Decimal("9.995") else 1 if value < Decimal("99.95") else 0
    return f"{value:.{places}f} {unit}"


def exact(size: int) -> str:
    """Every byte, for reading: ``1,234,567 bytes``."""
    return f"{size:,} {'byte' if size == 1 else 'bytes'}"
