"""The nearest of many texts: FAISS finds them, and float64 says which and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from datamodules.retrieval.sentence_encoder import Embeddings, RetrievalError, require_libraries

MARGIN = 16
"""So many more than are wanted are asked of the index at first."""

QUERIES_AT_ONCE = 256

_TOLERANCE = 1e-4
"""By how much a squared distance of FAISS may be off, for vectors of length 1: it computes in float32, and
for several queries at once expands the square, which rounds differently by batch and number of threads."""

_DIGITS = 12
"""Of a squared distance in float64; what differs less is the same distance."""


class NearestTexts:
    """Texts by their squared L2 distance to a query, in a flat index of FAISS (`IndexFlatL2`).

    The index is asked for some more than are wanted, their distances are computed again in float64, and where
    one that was not found could still be as near, it is asked for more. So the result is that of comparing
    with every text in float64, whatever the number of queries at once and of threads.

    Args:
        texts: the embeddings of the texts.

    Raises:
        RetrievalError: faiss-cpu is not installed.
    """

    def __init__(self, texts: Embeddings) -> None:
        require_libraries()
        import faiss  # late: some builds do not go together with torch when they are loaded first

        self.texts = texts
        self.index: Any = faiss.IndexFlatL2(texts.vectors.shape[1])
        self.index.add(np.ascontiguousarray(texts.vectors))

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.texts.vectors)

    def nearest(
        self, queries: Embeddings, wanted: int, queries_at_once: int = QUERIES_AT_ONCE
    ) -> Iterator[Nearest]:
        """For each query, in order, its nearest texts: see `Nearest`.

        Args:
            queries: the embeddings of the queries.
            wanted: how many texts are likely to be looked at.
            queries_at_once: how many queries the index is given at once.

        Raises:
            RetrievalError: the queries are the vectors of another encoder than the texts.
        """
        if queries.encoder != self.texts.encoder or queries.vectors.shape[1:] != self.texts.vectors.shape[1:]:
            raise RetrievalError(
                f"The index holds embeddings of {self.texts.encoder!r} with {self.texts.vectors.shape[1]} "
                f"numbers, but the queries are of {queries.encoder!r} with {queries.vectors.shape[1]}: "
                "distances between them mean nothing. Embed both with the same encoder."
            )
        for start in range(0, len(queries.vectors), queries_at_once):
            several = queries.vectors[start : start + queries_at_once]
            found = self.search(several, wanted + MARGIN)
            for query, distances, numbers in zip(several, *found, strict=True):
                yield Nearest(self, query, distances, numbers)

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """What FAISS finds: squared distances and numbers of texts, each `[queries, count]` at most."""
        distances, numbers = self.index.search(np.ascontiguousarray(queries), min(count, len(self)))
        return distances, numbers


class Nearest:
    """The texts by their distance to one query, as far as they are looked at.

    Iterating gives `(squared distance, numbers of the texts that are so far away)`, the nearest first.
    """

    def __init__(
        self, index: NearestTexts, query: np.ndarray, distances: np.ndarray, numbers: np.ndarray
    ) -> None:
        self.index, self.query = index, query
        self.distances, self.numbers = distances, numbers

    def __iter__(self) -> Iterator[tuple[float, list[int]]]:
        """The texts in the order of their distance; more of them are found when they are asked for."""
        given = -1.0
        while True:
            exact = squared_distances(self.index.texts.vectors[self.numbers], self.query)
            everything = len(self.numbers) == len(self.index)
            # What was not found is at least about as far away as the last one that was.
            sure = np.inf if everything else float(self.distances[-1]) - _TOLERANCE
            for distance in np.unique(exact[(exact > given) & (exact < sure)]).tolist():
                yield distance, sorted(self.numbers[exact == distance].tolist())
                given = distance
            if everything:
                return
            found = self.index.search(self.query[None], 2 * len(self.numbers))
            self.distances, self.numbers = found[0][0], found[1][0]


def squared_distances(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The squared L2 distances of vectors `[texts, width]` to one `[width]`, in float64, to 12 digits."""
    difference = vectors.astype(np.float64) - query.astype(np.float64)
    distances: np.ndarray = np.square(difference).sum(-1).round(_DIGITS)
    return distances
