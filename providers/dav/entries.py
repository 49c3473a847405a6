"""The entries of a PROPFIND: one form for all nodes of a kind, filled with columns of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from appliance.tree.nodes import FILE, FOLDER, Node
from providers.dav import live
from providers.dav.live import Columns
from providers.dav.win32 import is_told_anyway
from providers.dav.xml_in import PropfindRequest
from providers.dav.xml_out import empty_property, missing_propstat

_BEGIN = "<D:response><D:href>%s</D:href>"
_OK = "<D:propstat><D:prop>{}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
_END = "</D:response>"
_FORMS_KEPT = 128
_NAME_CHARS_KEPT = 4096


class _Form(NamedTuple):
    """What is the same for all nodes of a kind.

    ``fixed`` are the elements that each of them has, ``columns`` the properties that fill them. ``optional`` live
    and ``dead`` properties are asked for node by node, as is ``any_dead``: all others that it has. ``missing`` is what
    no node of the kind has. ``report``: what is missing is told. ``bare``: names without values.

    ``usual``: the whole entry of a node without dead properties, to be filled with its URL and the columns; None where
    nodes differ in what they have.
    """

    fixed: str
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    dead: tuple[str, ...]
    any_dead: bool
    missing: tuple[str, ...]
    report: bool
    bare: bool
    usual: str | None


class Entries:
    """Writes response elements of one listing. ``properties`` are the dead ones that its nodes have, by id.

    ``past``: it is one of the past, of which less is told.
    """

    def __init__(
        self, wanted: PropfindRequest, columns: Columns, properties: dict[int, dict[str, str]], *, past: bool = False
    ) -> None:
        self._wanted = wanted
        self._past = past
        self._columns = columns
        self._properties = properties
        self._missing: dict[tuple[str, ...], str] = {}

    def write(self, hrefs: Sequence[str], nodes: Sequence[Node]) -> str:
        """One element for each node, in their order; ``hrefs`` are encoded, and nothing in them needs escaping."""
        kinds = {node.kind for node in nodes}
        if len(kinds) == 1:
            return "".join(self._of_kind(kinds.pop(), hrefs, nodes))
        texts = {
            kind: self._of_kind(
                kind,
                [href for href, node in zip(hrefs, nodes, strict=True) if node.kind == kind],
                [node for node in nodes if node.kind == kind],
            )
            for kind in kinds
        }
        return "".join([next(texts[node.kind]) for node in nodes])

    def _of_kind(self, kind: int, hrefs: Sequence[str], nodes: Sequence[Node]) -> Iterator[str]:
        form = _form(self._wanted, kind, self._past)
        columns = [self._columns[name](nodes) for name in form.columns]
        if form.usual is not None and not self._properties:
            return map(form.usual.__mod__, zip(hrefs, *columns, strict=True))
        fixed = map(form.fixed.__mod__, zip(*columns, strict=True)) if columns else iter([form.fixed] * len(nodes))
        return self._one_by_one(form, hrefs, nodes, fixed)

    def _one_by_one(
        self, form: _Form, hrefs: Sequence[str], nodes: Sequence[Node], fixed: Iterator[str]
    ) -> Iterator[str]:
        optional = [(name, live.ELEMENTS[name], self._columns[name](nodes)) for name in form.optional]
        for index, (href, node, found) in enumerate(zip(hrefs, nodes, fixed, strict=True)):
            missing = [*form.missing]
            for name, elements, values in optional:
                value = values[index]
                if value is None:
                    missing.append(name)
                else:
                    found += empty_property(name) if form.bare else elements[node.kind] % value
            found += self._dead(form, node, missing)
            told = self._lacks(tuple(missing)) if form.report and missing else ""
            ok = _OK.format(found) if found or not told else ""
            yield f"{_BEGIN % href}{ok}{told}{_END}"

    def _dead(self, form: _Form, node: Node, missing: list[str]) -> str:
        values = self._properties.get(node.id, {})
        missing += [name for name in form.dead if name not in values]
        names = [name for name in form.dead if name in values]
        if form.any_dead:
            others = [name for name in values if name not in form.dead]
            names += others if form.bare else [name for name in others if not is_told_anyway(name, values[name], node)]
        return "".join([empty_property(name) if form.bare else values[name] for name in names])

    def _lacks(self, missing: tuple[str, ...]) -> str:
        if not missing:
            return ""
        known = self._missing.get(missing)
        if known is None:
            known = self._missing[missing] = missing_propstat(missing)
        return known


def _make_form(wanted: PropfindRequest, kind: int, past: bool) -> _Form:
    known = live.PAST_ELEMENTS if past else live.ELEMENTS
    bare = wanted.mode == "propname"
    if wanted.mode == "prop":
        names: tuple[str, ...] = wanted.names
    elif bare:
        names = tuple(sorted(live.LIVE))
    else:
        names = tuple(dict.fromkeys((*live.ALLPROP, *wanted.include)))
    has = [name for name in names if kind in known.get(name, ())]
    fixed = [name for name in has if name not in live.OPTIONAL]
    elements = [empty_property(name) if bare else known[name][kind] for name in fixed]
    dead = tuple(name for name in names if name not in live.LIVE)
    missing = tuple(name for name in names if name in live.LIVE and name not in has)
    report = wanted.mode == "prop" and not wanted.minimal
    return _Form(
        fixed="".join(elements),
        columns=tuple(name for name, element in zip(fixed, elements, strict=True) if "%s" in element),
        optional=tuple(name for name in has if name in live.OPTIONAL),
        dead=dead,
        any_dead=wanted.mode != "prop",
        missing=missing,
        report=report,
        bare=bare,
        usual=_usual("".join(elements), (*missing, *dead) if report else ()) if len(fixed) == len(has) else None,
    )


def _usual(fixed: str, missing: tuple[str, ...]) -> str | None:
    """An entry that says nothing at all is not usual."""
    told = missing_propstat(missing).replace("%", "%%") if missing else ""
    return _BEGIN + _OK.format(fixed) + told + _END if fixed else None


_kept_form: Callable[[PropfindRequest, int, bool], _Form] = lru_cache(maxsize=_FORMS_KEPT)(_make_form)


def _form(wanted: PropfindRequest, kind: int, past: bool) -> _Form:
    """A client asks for the same few properties for as long as it lives."""
    assert kind in (FILE, FOLDER)
    chars = sum(map(len, wanted.names)) + sum(map(len, wanted.include))
    return (_kept_form if chars <= _NAME_CHARS_KEPT else _make_form)(wanted, kind, past)
