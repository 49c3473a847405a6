"""Templates, and how they show sizes and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from admin_ui.static_files import StaticFiles
from appliance import clock, moments, sizes

# In this order: each names the ones below it too.
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Macintosh", "CrOS", "Linux")
_AGENT_MOST = 60

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Templates:
    """The templates of the panel. One object may be used by all threads."""

    def __init__(self, version: str, static: StaticFiles) -> None:
        self._environment = Environment(
            loader=PackageLoader("admin_ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters.update(size=size, moment=moment, duration=duration, browser=browser)
        self._environment.globals.update(version=version, static=static.url)

    def render(self, name: str, /, **values: Any) -> str:
        """The page; a value that a template wants and does not get is an error."""
        return self._environment.get_template(name).render(**values)


def size(value: int) -> Markup:
    """For people, with every byte in the title."""
    return Markup('<span class="size" title="{}">{}</span>').format(sizes.exact(value), sizes.show(value))


def moment(value: int) -> Markup:
    """In the server's zone, with the offset."""
    exact = (_EPOCH + timedelta(microseconds=value)).isoformat(timespec="seconds")
    return Markup('<time datetime="{}">{}</time>').format(exact, moments.show(value))


def duration(microseconds: int) -> str:
    """The two largest units: "3 d 4 h"."""
    seconds = max(microseconds // clock.SECOND, 0)
    parts: list[str] = []
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def browser(agent: str) -> str:
    """What somebody would call it: "Firefox on Linux". Only a hint, since clients write what they like."""
    name = next((shown for mark, shown in _BROWSERS if mark in agent), agent[:_AGENT_MOST] or "unknown")
    system = next((each for each in _SYSTEMS if each in agent), "")
    return f"{name} on {system}" if system and name != agent[:_AGENT_MOST] else name
