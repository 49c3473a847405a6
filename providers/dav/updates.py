"""What the updates of a PROPPATCH, or of a MKCOL with properties, come to before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance import clock
from appliance.errors import BadRequest
from providers.dav import live, xml_out
from providers.dav.headers import parse_oc_mtime
from providers.dav.xml_in import PropertyUpdate, text_of
from providers.front.dates import parse_http_date, parse_iso_date

_NO_TIME = "a modification time is an HTTP date, an ISO 8601 date with time and zone, or seconds since 1970"


@dataclass(frozen=True, slots=True)
class Updates:
    """``modified_at`` is the last of the times that are set, None if there is none; ``dead`` are the other updates."""

    names: tuple[str, ...]
    protected: tuple[str, ...]
    wrong: tuple[str, ...]
    modified_at: int | None
    dead: tuple[tuple[str, str | None], ...]

    @property
    def possible(self) -> bool:
        """Whether nothing among them must be refused."""
        return not self.protected and not self.wrong

    def refusals(self) -> list[str]:
        """RFC 4918 §9.2.1: 403 for what nobody may set, 409 for a value that means nothing, 424 for the rest."""
        parts = []
        if self.protected:
            parts.append(xml_out.propstat(elements(self.protected), 403, condition="cannot-modify-protected-property"))
        if self.wrong:
            parts.append(xml_out.propstat(elements(self.wrong), 409, description=_NO_TIME))
        return [*parts, *self._dependent((*self.protected, *self.wrong))]

    def too_large(self, reason: str) -> list[str]:
        """RFC 4918 §9.2.1: 507 for what was to be stored, 424 for the rest."""
        stored = [name for name, value in self.dead if value is not None]
        return [xml_out.propstat(elements(stored), 507, description=reason), *self._dependent(stored)]

    def _dependent(self, at_fault: Sequence[str]) -> list[str]:
        others = [name for name in self.names if name not in at_fault]
        return [xml_out.propstat(elements(others), 424)] if others else []


def judge(updates: Sequence[PropertyUpdate]) -> Updates:
    """What they mean, in the order in which they stand."""
    protected = tuple(update.name for update in updates if _is_protected(update))
    times = [(update.name, _modified_at(update)) for update in updates if update.name in live.SETTABLE]
    return Updates(
        names=tuple(update.name for update in updates),
        protected=protected,
        wrong=tuple(name for name, moment in times if moment is None and name not in protected),
        modified_at=times[-1][1] if times else None,
        dead=tuple((update.name, update.value_xml) for update in updates if update.name not in live.SETTABLE),
    )


def elements(names: Iterable[str]) -> Iterable[str]:
    """An empty element for each name, once."""
    return map(xml_out.empty_property, dict.fromkeys(names))


def _is_protected(update: PropertyUpdate) -> bool:
    if update.name in live.SETTABLE:
        return update.value_xml is None
    return update.name in live.LIVE


def _modified_at(update: PropertyUpdate) -> int | None:
    """Microseconds; None for what is no moment."""
    text = text_of(update.value_xml).strip() if update.value_xml else ""
    seconds = parse_http_date(text)
    if seconds is not None:
        return seconds * clock.SECOND
    moment = parse_iso_date(text)
    if moment is not None or not text:
        return moment
    try:
        return parse_oc_mtime(text)
    except BadRequest:
        return None
