"""The retrying backend keeps the contract."""

from __future__ import annotations

import pytest

from appliance.backends.memory import MemoryBackend
from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from tests.conformance.backend_contract import BackendContract
from tests.support import s3


class TestRetryingBackend(BackendContract):
    """Over a dictionary."""

    @pytest.fixture
    def backend(self) -> RetryingBackend:
        """An empty one."""
        return RetryingBackend(MemoryBackend(), Attempts(Circuit()))


class TestRetryingS3Backend(BackendContract):
    """Over MinIO, as the server composes it."""

    @pytest.fixture
    def backend(self, minio: s3.Running) -> RetryingBackend:
        """An empty one."""
        attempts = Attempts(Circuit())
        return RetryingBackend(minio.backend(again=attempts.run, presigns=True), attempts)
