"""The S3 backend keeps the contract over every S3 server that is there."""

from __future__ import annotations

import pytest

from appliance.backends.base import Backend
from appliance.backends.retrying import Attempts, Circuit
from tests.conformance.backend_contract import BackendContract
from tests.support import s3


@pytest.mark.parametrize("name", s3.NAMES)
def test_server_is_there(name: str) -> None:
    """Says which servers the tests below were made with; what is skipped here was not tested."""
    if name in s3.absent():
        pytest.skip(s3.absent()[name])
    assert name in s3.present()


class TestS3Backend(BackendContract):
    """Over real servers."""

    @pytest.fixture
    def backend(self, s3_server: s3.Server) -> Backend:
        """An empty one. Sending is repeated as in the server: versitygw needs it where others empty a folder."""
        return s3_server.backend(again=Attempts(Circuit()).run, presigns=True)
