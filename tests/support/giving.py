"""A backend that gives away URLs, as far as can be seen."""

from __future__ import annotations

from appliance.backends.base import Backend
from tests.support.faults import BackendProxy


class Giving(BackendProxy):
    """``presign`` gives a text that tells what it was asked; ``refuses`` keys, for which it gives none."""

    def __init__(self, inner: Backend, *, seconds: int = 77) -> None:
        super().__init__(inner)
        self.seconds = seconds
        self.refuses: set[str] = set()

    @property
    def url_s(self) -> int:
        return self.seconds

    def presign(self, key: str, start: int, length: int, seconds: int) -> str | None:
        return None if key in self.refuses else f"{key} {start} {length} {seconds}"
