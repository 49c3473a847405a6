"""What the machine's operations work on, chosen so that most pass and each refusal happens."""

from __future__ import annotations

from typing import NamedTuple

from tests.model_dav.model import ANY, Condition, DavModel, Demand, Given
from tests.server.content import noise
from tests.tree.model import Path
from tests.tree.test_model import Choice

# Empty, inline, the last that is inline, the first that is not, one pack, and more than one group of the pipeline.
_LARGE = noise(2_700_000, seed=7)
CONTENTS = (
    b"",
    b"ten bytes.",
    b"ten others",
    b"i" * 4096,
    b"p" * 4097,
    noise(4_500, seed=3),
    noise(70_000, seed=4),
    _LARGE[:1_300_000],
    _LARGE,
    # The same but for its beginning: most of its chunks are there.
    b"another beginning" + _LARGE[17:],
)
_WEIGHTS = (2, 6, 6, 2, 3, 4, 3, 2, 1, 1)


class Range(NamedTuple):
    """The headers that ask for a part of a file, and what has to come: whole content (None), parts, or 416 (none)."""

    headers: dict[str, str]
    parts: list[bytes] | None


class Chance(Choice):
    """``seen`` are the ETags that were ever told, for those that are no more."""

    def content(self) -> bytes:
        return self.choices(CONTENTS, _WEIGHTS)[0]

    def body(self, content: bytes) -> bytes | list[bytes]:
        """The content as it is, or in pieces to be sent chunked."""
        if not content or self.random() < 0.6:
            return content
        size = self.choice((3, 1000, 65_536)) if len(content) < 10_000 else self.choice((50_000, 1_000_000))
        return [content[at : at + size] for at in range(0, len(content), size)]

    def given(self, model: DavModel, path: Path, seen: list[str]) -> Given:
        """Mostly the tokens that are needed; now and then conditions that hold, or do not."""
        demands = self._tokens(model, path)
        given = Given(demands=demands)
        if demands and len(demands) == len(demands[0].tests) == 1 and self.random() < 0.2:
            return Given(token=demands[0].tests[0].token)
        kind = self.random()
        if kind < 0.12:
            return given._replace(match=self._etags(model, path, seen))
        if kind < 0.2:
            return given._replace(none_match=self._etags(model, path, seen))
        if kind < 0.3:
            return given._replace(demands=self._with_etag(model, path, seen, demands))
        return given

    def list_of(self, path: Path, test: Condition) -> tuple[Demand, ...]:
        """One list with one condition, with or without the resource it speaks of."""
        return (Demand(self.choice((None, path)), (test,)),)

    def _tokens(self, model: DavModel, path: Path) -> tuple[Demand, ...]:
        if not model.locks or self.random() < 0.25:
            return ()
        if self.random() < 0.6:
            return tuple(Demand(lock.path, (Condition(token=lock.token),)) for lock in model.locks)
        # Untagged: it speaks of the resource of the request.
        tests = tuple(Condition(token=lock.token) for lock in model.locks[-2:])
        return tuple(Demand(None, (test,)) for test in tests) if self.random() < 0.5 else (Demand(None, tests),)

    def _with_etag(
        self, model: DavModel, path: Path, seen: list[str], demands: tuple[Demand, ...]
    ) -> tuple[Demand, ...]:
        etag = self.choice([model.etag(model.find(path)) or self.choice(seen), self.choice(seen)])
        test = Condition(negated=self.random() < 0.3, etag=etag)
        if demands:
            return (*demands[:-1], demands[-1]._replace(tests=(*demands[-1].tests, test)))
        more = Demand(None, (test, Condition(negated=True, token="DAV:no-lock")))
        return (more,) if self.random() < 0.5 else (more, Demand(None, (Condition(etag=self.choice(seen)),)))

    def _etags(self, model: DavModel, path: Path, seen: list[str]) -> tuple[str, ...]:
        current = model.etag(model.find(path)) or self.choice(seen)
        return self.choice(
            (ANY, (current,), (current,), (self.choice(seen), current), (self.choice(seen),), (f"W/{current}",))
        )

    def range(self, content: bytes, etag: str, seen: list[str]) -> Range:
        """Of a file that is not empty."""
        size, first = len(content), self.randrange(len(content))
        last = self.randrange(first, size)
        asked, parts = self.choice(
            (
                (f"{first}-{last}", [content[first : last + 1]]),
                (f"{first}-", [content[first:]]),
                (f"-{size - first}", [content[first:]]),
                (f"{first}-{size + 5}", [content[first:]]),
                (f"{size}-", []),
                (f"0-0, {size}-, -1", [content[:1], content[-1:]] if size > 1 else None),
            )
        )
        headers = {"Range": f"bytes={asked}"}
        if self.random() < 0.3:
            validator = self.choice((etag, self.choice(seen), f"W/{etag}"))
            return Range({**headers, "If-Range": validator}, parts if validator == etag else None)
        return Range(headers, parts)
