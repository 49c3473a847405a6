"""Fixtures of the tests of the HTTP layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.http.harness import App, Running, serving
from tests.support.certificates import Certified

Secure = Callable[..., Running]


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """A certificate for 127.0.0.1."""
    return Certified.make(tmp_path_factory.mktemp("certified"))


@pytest.fixture
def secure(certified: Certified) -> Iterator[Secure]:
    """Starts servers with TLS, with the arguments of ``serving``; they are stopped after the test."""
    with ExitStack() as stack:
        context = certified.server()

        def start(app: App, **options: Any) -> Running:
            return stack.enter_context(serving(app, tls=lambda: context, trust=certified.client(), **options))

        yield start
