"""Which chunks of a pack are read together, as they are."""

from __future__ import annotations

from appliance.chunks.codec import RAW, ZSTD
from appliance.chunks.pack import Columns
from appliance.chunks.places import Index, Run


def test_run_is_raw_chunks_in_the_order_of_the_pack() -> None:
    """Nothing else: no other order, no compressed one among them, none that is not in the pack, no other length."""
    ids = tuple(bytes([number]) * 32 for number in range(6))
    lengths = (10, 20, 30, 40, 50, 60)
    codecs = (RAW, RAW, RAW, RAW, ZSTD, RAW)
    index = Index(
        "packs/1/1", Columns(ids, (32, 42, 62, 92, 132, 150), (10, 20, 30, 40, 18, 60), lengths, codecs, lengths)
    )
    assert index.run(ids[1:4], lengths[1:4]) == Run("packs/1/1", 42, (20, 30, 40))
    assert index.run(ids[5:], lengths[5:]) == Run("packs/1/1", 150, (60,))
    assert index.run(ids[3:5], lengths[3:5]) is None
    assert index.run((ids[1], ids[0]), (20, 10)) is None
    assert index.run((ids[0], ids[2]), (10, 30)) is None
    assert index.run((b"x" * 32,), (10,)) is None
    assert index.run((ids[5], b"x" * 32), (60, 10)) is None
    assert index.run(ids[:2], (10, 21)) is None
