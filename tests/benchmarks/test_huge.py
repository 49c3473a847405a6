"""The huge file: its content, and a passage of a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import huge
from benchmarks.failures import WrongAnswer
from benchmarks.huge import blocks, measure_huge


@pytest.mark.parametrize("size", [1, 12_000_000, 12_000_001, 30_000_000])
def test_content_repeats_itself_and_has_its_size(size: int) -> None:
    """A stream that is made anew is the same one."""
    content = b"".join(blocks(size, 12_000_000))
    assert len(content) == size
    assert content == b"".join(blocks(size, 12_000_000))
    assert content[12_000_000:] == content[: max(size - 12_000_000, 0)][:12_000_000] + content[24_000_000:]


@pytest.mark.parametrize("chunked", [False, True])
def test_file_goes_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool) -> None:
    """The store keeps one round of it."""
    monkeypatch.setattr(huge, "_SETTLE_S", 0.1)
    monkeypatch.setattr(huge, "blocks", lambda size: blocks(size, 5_000_001))
    found = measure_huge(gib=0.05, durability="fast", chunked=chunked, first_port=18700, scratch=tmp_path)
    assert found.size == int(0.05 * huge.GIB)
    assert 4 < found.folder_mib < 15
    assert found.holds, str(found)
    assert "SHA-256 equal" in str(found)


def test_other_bytes_that_come_back_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement means nothing then."""
    monkeypatch.setattr(huge, "_SETTLE_S", 0.1)
    monkeypatch.setattr(huge, "_get", lambda server, size, digest: digest.update(b"something else"))
    with pytest.raises(WrongAnswer, match="other"):
        measure_huge(gib=0.001, durability="fast", chunked=False, first_port=18710, scratch=tmp_path)
