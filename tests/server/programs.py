"""Client programs that the tests drive; where one is missing its tests are skipped, and say so."""

from __future__ import annotations

import shutil

import pytest


def needs(program: str, package: str | None = None) -> pytest.MarkDecorator:
    """Marks tests that drive ``program``."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed (Debian: {package or program})"
    )
