"""Ids that occur twice in a file or a split: all of them are named, and nothing is scored without them."""

from __future__ import annotations

from datamodules.samples import DataError

NAMED_AT_MOST = 10


class UniqueIds:
    """Sees the ids of a file go by."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._twice: dict[str, str] = {}

    def add(self, name: str, sentence: str) -> None:
        """Take note of an id.

        Args:
            name: the id.
            sentence: what to say if it was there before, with the id in it.
        """
        if name in self._seen:
            self._twice.setdefault(name, sentence)
        self._seen.add(name)

    def require(self) -> None:
        """Raise `DataError` with the ids that occurred more than once."""
        if not self._twice:
            return
        (_, first), *others = self._twice.items()
        named = ", ".join(name for name, _ in others[: NAMED_AT_MOST - 1])
        more = ", ..." if len(others) >= NAMED_AT_MOST else ""
        further = f" So it is with {len(others):,} further ids: {named}{more}." if others else ""
        raise DataError(
            f"{first}{further} Ids tell questions apart when they are scored: give each question its own and "
            "keep one answer for each."
        )
