"""HAProxy in front of nodes, with the very configuration that docs/haproxy.cfg shows."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.server.programs import find
from tests.server.running import Server, until

SOURCE = "127.0.0.9"
"""What the nodes see it come from, so that they can trust it and nobody else on this machine."""
PAGE = Path(__file__).parents[2] / "docs" / "haproxy.cfg"


@contextmanager
def balanced(nodes: Sequence[Server], scratch: Path, port: int) -> Iterator[Server]:
    """Two nodes as they are seen through it: with its port; only for what clients do."""
    text = PAGE.read_text(encoding="utf-8")
    first, second = nodes
    for old, new in (
        (":443 ssl crt /etc/haproxy/files.example.com.pem", f"127.0.0.1:{port}"),
        ("10.0.0.1:8080", f"127.0.0.1:{first.port} source {SOURCE}"),
        ("10.0.0.2:8080", f"127.0.0.1:{second.port} source {SOURCE}"),
        # The test's clients speak http.
        ("X-Forwarded-Proto https", "X-Forwarded-Proto http"),
    ):
        assert old in text
        text = text.replace(old, new)
    (scratch / "haproxy.cfg").write_text(text)
    (scratch / "seen").mkdir()
    seen = Server(scratch / "seen")
    seen.port = port
    command = [str(find("haproxy")), "-f", str(scratch / "haproxy.cfg"), "-db"]
    with (
        (scratch / "haproxy.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            until(lambda: _answers(seen), what="HAProxy's start")
            yield seen
        finally:
            process.terminate()
            process.wait(10)


def _answers(seen: Server) -> bool:
    try:
        with seen.dav() as dav:
            return dav("GET", "/readyz").status == 200
    except OSError:
        return False
