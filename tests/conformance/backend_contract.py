"""What every blob store has to keep (appliance.backends.base).

A test of a backend is a class that derives from ``BackendContract`` and has the fixture ``backend``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from appliance.backends.base import Backend, Buffer, Source
from appliance.errors import BackendError, BlobMissing
from tests.support.content import MIB, noise
from tests.support.faults import in_threads
from tests.support.fetching import fetch

KEYS = (
    "packs-a",
    "packs.a",
    "packs/00000001/00000001",
    "packs/00000001/00000002",
    "packs/00000001-x",
    "packs/00000001.x/y",
    "packs/00000001_x",
    "packs/0000001",
    "packs/a/b/c/d",
    "packs0",
    "packs_a",
    "store",
    "_/-/0.1",
)
BAD_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    ".hidden",
    "a/.hidden",
    "A",
    "a b",
    "a\\b",
    "a:b",
    "a\n",
    "a\0",
    "ä",
    "x" * 201,
)


class Gone(BaseException):
    """What no store may expect from its caller."""


class BackendContract:
    """The tests. Each begins with an empty backend."""

    def test_put_returns_the_size_and_get_the_bytes(self, backend: Backend) -> None:
        """A blob is its blocks, one after the other, of whatever type they are."""
        assert backend.put("a/b", [b"one", bytearray(b"two"), b"", memoryview(b"-three-")[1:-1]]) == 11
        assert backend.get("a/b", 0, 11) == b"onetwothree"
        assert backend.head("a/b") == 11

    def test_put_of_nothing_is_an_empty_blob(self, backend: Backend) -> None:
        """No block, or only empty ones, make a blob of size 0."""
        assert backend.put("none", []) == 0
        assert backend.put("empty", [b"", b""]) == 0
        assert [backend.head("none"), backend.head("empty")] == [0, 0]
        assert backend.get("none", 0, 0) == b""
        assert [tuple(blob) for blob in backend.list("")] == [("empty", 0), ("none", 0)]

    def test_get_gives_exactly_the_range_or_nothing(self, backend: Backend) -> None:
        """Every range within the blob is exact; what ends behind it is BlobMissing, also if it is empty."""
        backend.put("blob", [b"abcdef"])
        for start in range(9):
            for length in range(9):
                if start + length <= 6:
                    assert backend.get("blob", start, length) == b"abcdef"[start : start + length]
                else:
                    with pytest.raises(BlobMissing):
                        backend.get("blob", start, length)

    def test_get_up_to_gives_what_there_is(self, backend: Backend) -> None:
        """The part of the range that the blob has, which may be none; without a blob BlobMissing."""
        backend.put("blob", [b"abcdef"])
        for start in range(9):
            for length in range(9):
                assert backend.get_up_to("blob", start, length) == b"abcdef"[start : start + length]
        with pytest.raises(BlobMissing):
            backend.get_up_to("other", 0, 1)

    def test_receive_gives_what_there_is_piece_by_piece(self, backend: Backend) -> None:
        """Each piece as long as it was asked for, until the range or the blob ends; then nothing comes any more."""
        content = noise(300_000)
        backend.put("blob", [content])
        for start, length in ((0, 300_000), (0, 400_000), (99, 200_000), (299_999, 5), (300_000, 5), (7, 0)):
            wanted = content[start : start + length]

            def pieces(source: Source) -> list[bytes]:
                return list(iter(lambda: bytes(source.read(70_000)), b""))

            came = backend.receive("blob", start, length, pieces)
            assert b"".join(came) == wanted
            assert all(len(piece) == 70_000 for piece in came[:-1])
        with pytest.raises(BlobMissing):
            backend.receive("other", 0, 1, lambda source: source.read(1))

    def test_receiver_may_stop_or_fail_at_any_piece(self, backend: Backend) -> None:
        """What it raises comes out as it is; the next reading finds nothing of it."""
        content = noise(300_000)
        backend.put("blob", [content])

        def fail(source: Source) -> None:
            source.read(10)
            raise ValueError("enough")

        for _ in range(40):
            assert backend.receive("blob", 0, 300_000, lambda source: bytes(source.read(10))) == content[:10]
            with pytest.raises(ValueError, match="enough"):
                backend.receive("blob", 0, 300_000, fail)
        assert backend.get("blob", 0, 300_000) == content

    def test_get_and_head_of_what_was_never_put(self, backend: Backend) -> None:
        """A key without a blob is BlobMissing to get and None to head; a part of a key is such a key."""
        backend.put("packs/1/2", [b"x"])
        for key in ("other", "packs", "packs/1", "packs/1/2/3", "packs/1/20"):
            assert backend.head(key) is None
            with pytest.raises(BlobMissing) as caught:
                backend.get(key, 0, 1)
            assert caught.value.key == key
            with pytest.raises(BlobMissing):
                backend.get(key, 0, 0)

    def test_blob_is_unknown_until_put_returns(self, backend: Backend) -> None:
        """While the blocks come, neither head nor get nor list show anything."""

        def blocks() -> Iterator[Buffer]:
            for _ in range(3):
                yield noise(100_000)
                assert backend.head("new/blob") is None
                assert list(backend.list("")) == []
                with pytest.raises(BlobMissing):
                    backend.get("new/blob", 0, 1)

        backend.put("new/blob", blocks())
        assert backend.head("new/blob") == 300_000

    @pytest.mark.parametrize(
        "error", [ValueError("x"), ConnectionResetError("x"), FileNotFoundError("x"), KeyboardInterrupt(), Gone()]
    )
    def test_put_whose_blocks_raise_stores_nothing(self, backend: Backend, error: BaseException) -> None:
        """The caller gets its own error back, the key stays free, and the next attempt succeeds."""

        def blocks() -> Iterator[Buffer]:
            yield noise(100_000)
            raise error

        with pytest.raises(type(error)) as caught:
            backend.put("a/b", blocks())
        assert caught.value is error
        assert backend.head("a/b") is None
        assert list(backend.list("")) == []
        assert backend.put("a/b", [b"whole"]) == 5
        assert backend.get("a/b", 0, 5) == b"whole"

    def test_failed_repetition_leaves_the_blob_as_it_was(self, backend: Backend) -> None:
        """Nothing of a put that raised is seen, also where the key exists."""

        def blocks() -> Iterator[Buffer]:
            yield b"oth"
            raise ValueError

        backend.put("a", [b"first"])
        with pytest.raises(ValueError):  # noqa: PT011 (raised without a text above)
            backend.put("a", blocks())
        assert backend.get("a", 0, 5) == b"first"

    def test_put_of_an_existing_key_replaces_it(self, backend: Backend) -> None:
        """A repeated attempt succeeds; the key is listed once."""
        backend.put("a/b", [b"some", b"thing longer"])
        assert backend.put("a/b", [b"something"]) == 9
        assert backend.get("a/b", 0, 9) == b"something"
        assert [tuple(blob) for blob in backend.list("")] == [("a/b", 9)]

    def test_block_belongs_to_the_caller_once_the_next_one_is_asked_for(self, backend: Backend) -> None:
        """A caller may fill the same memory again and again."""
        block = bytearray(1000)

        def blocks() -> Iterator[Buffer]:
            for number in range(50):
                block[:] = bytes([number]) * 1000
                yield memoryview(block)
                block[:] = b"\xff" * 1000

        backend.put("a", blocks())
        block[:] = b"\xee" * 1000
        assert backend.get("a", 0, 50_000) == b"".join(bytes([number]) * 1000 for number in range(50))

    def test_delete_removes_and_may_be_repeated(self, backend: Backend) -> None:
        """What is deleted is unknown; deleting what does not exist is no error; the key can be used again."""
        backend.put("a/b", [b"x"])
        backend.put("a/c", [b"y"])
        for _ in range(2):
            backend.delete("a/b")
            assert backend.head("a/b") is None
            with pytest.raises(BlobMissing):
                backend.get("a/b", 0, 1)
        for key in ("never", "a", "a/c/d", "never/at/all"):
            backend.delete(key)
        assert [blob.key for blob in backend.list("")] == ["a/c"]
        backend.delete("a/c")
        assert list(backend.list("")) == []
        backend.put("a/b", [b"again"])
        assert backend.get("a/b", 0, 5) == b"again"

    def test_list_is_sorted_by_key_for_every_prefix(self, backend: Backend) -> None:
        """A prefix is any text, and the order is that of the keys, whatever their parts are."""
        for size, key in enumerate(KEYS):
            backend.put(key, [bytes(size)])
        prefixes = {key[:length] for key in KEYS for length in range(len(key) + 1)}
        for prefix in [*prefixes, "packs/b", "packs//", "/", "../", "..", "zzz", "packs/00000001/00000001/"]:
            expected = sorted((key, size) for size, key in enumerate(KEYS) if key.startswith(prefix))
            assert [tuple(blob) for blob in backend.list(prefix)] == expected, prefix

    def test_list_goes_on_while_blobs_are_deleted(self, backend: Backend) -> None:
        """A sweep deletes what it lists; all that was not deleted before its turn is listed."""
        keys = [f"packs/{number:02x}/{half}" for number in range(20) for half in "ab"]
        for key in keys:
            backend.put(key, [b"x"])
        seen = []
        for blob in backend.list("packs/"):
            seen.append(blob.key)
            backend.delete(blob.key)
        assert seen == keys
        assert list(backend.list("")) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_key_that_some_store_could_not_keep_is_refused(self, backend: Backend, key: str) -> None:
        """By every method: what is no key never reaches the store."""
        for refused in (
            lambda: backend.put(key, [b"x"]),
            lambda: backend.get(key, 0, 0),
            lambda: backend.get_up_to(key, 0, 0),
            lambda: backend.head(key),
            lambda: backend.delete(key),
            lambda: backend.presign(key, 0, 1, 60),
        ):
            with pytest.raises(BackendError):
                refused()
        assert list(backend.list("")) == []

    def test_longest_key_is_kept(self, backend: Backend) -> None:
        """200 characters, in one part or in many."""
        keys = ["x" * 200, "/".join(["y" * 9] * 20) + "z"]
        for key in keys:
            assert len(key) == 200
            backend.put(key, [key.encode()])
        assert [blob.key for blob in backend.list("")] == sorted(keys)
        assert [bytes(backend.get(key, 0, 200)).decode() for key in keys] == keys

    def test_large_blob_in_blocks_is_read_in_ranges(self, backend: Backend) -> None:
        """32 MiB in uneven blocks come back unchanged, also across the borders of blocks."""
        content = noise(32 * MIB + 77)
        size = backend.put("big", (content[start : start + 999_983] for start in range(0, len(content), 999_983)))
        assert size == len(content)
        for start, length in [(0, len(content)), (999_980, 10), (MIB - 1, 5 * MIB), (len(content) - 1, 1)]:
            assert backend.get("big", start, length) == content[start : start + length]

    def test_threads_do_not_disturb_each_other(self, backend: Backend) -> None:
        """Puts, reads, lists and deletes of many threads at once; each sees its own blobs whole."""

        def work(number: int) -> None:
            for turn in range(15):
                # Folders are shared, so that one thread empties what another one puts into.
                key = f"shared/{turn % 3}/{number}"
                content = noise(20_000, seed=number * 100 + turn)
                backend.put(key, [content[:7000], content[7000:]])
                assert backend.get(key, 0, 20_000) == content
                assert key in [blob.key for blob in backend.list(f"shared/{turn % 3}/")]
                backend.delete(key)
                assert backend.head(key) is None
            backend.put(f"kept/{number}", [b"x" * number])

        in_threads(8, work)
        assert [tuple(blob) for blob in backend.list("")] == [(f"kept/{number}", number) for number in range(8)]

    def test_url_at_the_store_gives_these_bytes_or_there_is_none(self, backend: Backend) -> None:
        """By a GET of anybody's, with the range; and whoever gives URLs tells how long they may hold."""
        content = noise(100_000)
        backend.put("packs/1/2", [content])
        url = backend.presign("packs/1/2", 1000, 50_000, 60)
        if url is not None:
            assert backend.url_s >= 60
            assert fetch(url, {"Range": "bytes=1000-50999"}) == (206, content[1000:51_000])
        for length, seconds in ((0, 60), (1, backend.url_s + 1), (1, 0)):
            assert backend.presign("packs/1/2", 0, length, seconds) is None

    def test_two_puts_of_one_key_at_once_both_succeed(self, backend: Backend) -> None:
        """A repeated attempt may overtake the first; the blob is whole at all times."""
        content = noise(300_000)
        arrived = threading.Event()

        def slow() -> Iterator[Buffer]:
            yield content[:100_000]
            assert arrived.wait(20)
            yield content[100_000:]

        first = threading.Thread(target=lambda: backend.put("a/b", slow()), daemon=True)
        first.start()
        backend.put("a/b", [content])
        assert backend.get("a/b", 0, 300_000) == content
        arrived.set()
        first.join(20)
        assert not first.is_alive()
        assert backend.get("a/b", 0, 300_000) == content
        assert [tuple(blob) for blob in backend.list("")] == [("a/b", 300_000)]
