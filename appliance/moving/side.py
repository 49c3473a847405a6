"""What moving a database asks of it, whichever kind it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from appliance.moving.shape import Bounds, Digest, Shape

Lines = list[bytes]


class Side(ABC):
    """One connection; for one thread at a time."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """In it all reads see one state."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """In it all changes are made together."""

    @abstractmethod
    def read(self, shape: Shape, bounds: Bounds) -> Iterator[Lines]:
        """The lines of rows, in the order of their keys if the table is cut, some thousands at a time."""

    @abstractmethod
    def count(self, shape: Shape) -> int: ...

    @abstractmethod
    def digest(self, shape: Shape, bounds: Bounds) -> Digest: ...

    @abstractmethod
    def load(self, shape: Shape, lines: Iterable[Lines]) -> None: ...

    @abstractmethod
    def clear(self, shape: Shape, bounds: Bounds) -> None: ...

    @abstractmethod
    def drop_indexes(self) -> Sequence[str]:
        """Of all tables; returns the statements that make them again."""

    @abstractmethod
    def make_index(self, statement: str) -> None: ...

    @abstractmethod
    def settle(self) -> None:
        """The first copy is there with its indexes; from here on little changes, in transactions."""

    @abstractmethod
    def last_ids(self, shapes: Sequence[Shape]) -> Mapping[str, int]:
        """By table, the last id that was given out, or is there."""

    @abstractmethod
    def keep_ids(self, last: Mapping[str, int]) -> None:
        """Give out none up to these."""

    @abstractmethod
    def close(self) -> None: ...
