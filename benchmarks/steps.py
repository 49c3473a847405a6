"""The steps of a request, timed inside of a worker: chosen functions of the product, wrapped with a clock.

A wrapper costs about a third of a microsecond. Steps lie within each other; what a step holds of its own is its time
without that of the steps within it.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Step(NamedTuple):
    """``where`` is "module:function" or "module:Class.method"."""

    name: str
    where: str


REQUEST = "request, from head to answer"

STEPS: tuple[Step, ...] = (
    Step("head parsed", "providers.http.head:parse_head"),
    Step(REQUEST, "providers.http.request:Request.respond"),
    Step("environ made", "providers.http.environ:request_environ"),
    Step("signed in", "appliance.accounts.signin:SignIn.principal"),
    Step("WebDAV method", "providers.dav.app:respond"),
    Step("XML of the request", "providers.dav.xml_in:parse_propfind"),
    Step("path located", "appliance.files.context:locate"),
    Step("file opened", "appliance.files.read:open_path"),
    Step("folder listed (rows)", "appliance.files.read:list_path"),
    Step("file stored", "appliance.files.write:put_file"),
    Step("content received", "appliance.chunks.ingest:Ingestor.receive"),
    Step("group hashed", "appliance.chunks.examining:hash_chunks"),
    Step("chunks looked up", "appliance.chunks.examining:known_chunks"),
    Step("group compressed", "appliance.chunks.examining:compress"),
    Step("transaction, with its queue", "appliance.db.sqlite:SqliteDatabase.write"),
    Step("change begun, tree locked", "appliance.files.context:begin"),
    Step("conditions and locks asked", "appliance.files.write:require_writable"),
    Step("content's rows", "appliance.chunks.ingest:Stored.commit"),
    Step("file created", "appliance.tree.edit:create_file"),
    Step("ancestors and tree written", "appliance.journal.change:Change.finish"),
    Step("tree copied", "appliance.tree.copying:copy"),
    Step("small content read", "appliance.chunks.content:Reader.small"),
    Step("chunks located and read", "appliance.chunks.content:Reader._fetch"),
    Step("blob put", "appliance.backends.disk:DiskBackend.put"),
    Step("blob read", "appliance.backends.disk:DiskBackend.get"),
    Step("blocks made and sent", "providers.http.response:Response.send_all"),
    Step("sent to the socket", "providers.http.connection:Connection.send"),
)


class Times(NamedTuple):
    """Of each call, in nanoseconds: all of it, and without the steps within it."""

    whole: list[int]
    own: list[int]


class StepClock:
    """Wraps the steps; ``times`` has those that were called, since the last ``clear``. Any thread."""

    def __init__(self) -> None:
        self.times: dict[str, Times] = {step.name: Times([], []) for step in STEPS}
        self._stack = threading.local()

    def clear(self) -> None:
        for times in self.times.values():
            times.whole.clear()
            times.own.clear()

    def install(self) -> list[str]:
        """Put the clock around each step; returns the steps that this version of the product does not have."""
        missing = []
        for step in STEPS:
            try:
                found = find(step.where)
            except (ImportError, AttributeError):
                missing.append(step.name)
            else:
                replace(found, self._wrapped(self.times[step.name], found.function))
        return missing

    def _wrapped(self, times: Times, function: Callable[..., Any]) -> Callable[..., Any]:
        local = self._stack
        now = time.perf_counter_ns

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            within = getattr(local, "within", 0)
            local.within = 0
            began = now()
            try:
                return function(*args, **kwargs)
            finally:
                took = now() - began
                times.whole.append(took)
                times.own.append(took - local.within)
                local.within = within + took

        return timed


class Found(NamedTuple):
    """A function and what it is an attribute of: a class, or a module."""

    owner: Any
    name: str
    function: Callable[..., Any]


def find(where: str) -> Found:
    """What a step names.

    Raises:
        ImportError, AttributeError: there is no such function.
    """
    module_name, _, path = where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    return Found(owner, name, getattr(owner, name))


def replace(found: Found, wrapped: Callable[..., Any]) -> None:
    """Put ``wrapped`` wherever the function is known: in its class, or in every module that imported it."""
    setattr(found.owner, found.name, wrapped)
    for module in list(sys.modules.values()):
        ours = getattr(module, "__name__", "").startswith(("appliance", "providers"))
        if ours and vars(module).get(found.name) is found.function:
            setattr(module, found.name, wrapped)
