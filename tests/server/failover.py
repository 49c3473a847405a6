"""A client of several nodes that goes to another one when nobody listens."""

from __future__ import annotations

from tests.server.dav_client import Dav
from tests.server.nodes import Nodes, TurningDav
from tests.server.running import ADMIN, PASSWORD, PATIENCE_S, Server


class Failover(Server):
    """The nodes, for clients that choose one by themselves."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def dav(
        self, user: str = ADMIN, password: str = PASSWORD, timeout: float = PATIENCE_S, source: str | None = None
    ) -> Dav:
        return _FailoverDav([Dav(node.port, user, password, timeout, None, source) for node in self._nodes.nodes])


class _FailoverDav(TurningDav):
    """What was refused before anything was sent is asked of the next node."""

    def __call__(self, method, path, body=None, headers=None, *, signed_in=True):  # type: ignore[no-untyped-def]
        content = None if body is None or isinstance(body, bytes) else list(body)
        for attempt in range(2):
            try:
                sent = body if content is None else iter(content)
                return super().__call__(method, path, sent, headers, signed_in=signed_in)
            except ConnectionRefusedError:
                self.close()
                if attempt:
                    raise
        raise AssertionError
