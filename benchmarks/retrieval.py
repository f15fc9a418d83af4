"""Whether the examples that retrieval finds are those of brute force, and how many queries a second.

The questions of OmniSpatial (real ones, where their folder is given) over at least 10,000 rendered questions
of SpaceThinker. The neighbours are compared with those of brute force in float64 for several numbers of
queries at once and of threads, of the index as of the encoder; every query is planted once among the
examples, under another id and group and with its image in another format. Results go to
`runs/bench/retrieval.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import write_result
from datamodules.loading.grouped import every_sample
from datamodules.omni_spatial import OmniSpatial, read_rows
from datamodules.retrieval.listed import Listed, one_listed
from datamodules.retrieval.nearest_texts import NearestTexts
from datamodules.retrieval.neighbours import choose
from datamodules.retrieval.sentence_encoder import Embeddings, SentenceEncoder
from datamodules.samples import ImageFile, SpatialSample, UnreadableImage
from datamodules.space_thinker import SpaceThinker

K = 5
EXAMPLES = 10_000
SCENES = 2_400
THREADS = (1, 2, 4)
AT_ONCE = (1, 19, 20, 256, 2_000)


def brute_force(texts: np.ndarray, queries: np.ndarray, wanted: int) -> list[list[int]]:
    """Numbers of the nearest texts, those of equal distance by number: differences squared, in float64."""
    found = []
    for query in queries.astype(np.float64):
        distances = np.square(texts.astype(np.float64) - query).sum(-1).round(12)
        found.append(np.lexsort((np.arange(len(texts)), distances))[:wanted].tolist())
    return found


def by_index(index: NearestTexts, queries: Embeddings, wanted: int, at_once: int) -> list[list[int]]:
    """The same from the index."""
    found = index.nearest(queries, wanted, at_once)
    return [list(islice((number for _, several in one for number in several), wanted)) for one in found]


def asked_questions(folder: str | None, cache: str) -> list[SpatialSample]:
    """The questions of OmniSpatial: real ones of a folder, else rendered ones."""
    if folder is not None:
        return list(read_rows(Path(folder)))
    data = OmniSpatial(scenes={"train": 1, "val": 1, "test": 800}, size=(112, 80), cache=cache)
    data.prepare_split("test")
    return list(every_sample(data.split("test")))


def planted(asked: Sequence[SpatialSample], folder: Path) -> list[Listed]:
    """Every question once more as an example: another id, another group, its image as another file."""
    copies = []
    for number, sample in enumerate(asked):
        image = None
        if sample.image is not None:
            try:
                image = ImageFile(folder / f"{number}.bmp")
                sample.image.open().save(image.path)
            except UnreadableImage:  # real questions may come without their images: the text tells then
                image = None
        copy = sample.replace(id=f"planted {number}", group=f"planted {number}", image=image)
        copies.append(one_listed(copy, (10**6 + number, 0)))
    return copies


def main() -> None:
    """Compare, and measure both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--omni-spatial", help="a folder with the real data.json; rendered questions without")
    parser.add_argument("--scenes", type=int, default=SCENES, help="rendered scenes of SpaceThinker")
    parser.add_argument("--cache", default="rendered_data")
    options = parser.parse_args()
    asked = asked_questions(options.omni_spatial, options.cache)
    data = SpaceThinker(
        scenes={"train": options.scenes, "val": 1, "test": 1}, size=(112, 80), cache=options.cache
    )
    data.prepare_split("train")
    pool = [
        one_listed(sample, (0, number)) for number, sample in enumerate(every_sample(data.split("train")))
    ]
    queries = [one_listed(sample, (0, number)) for number, sample in enumerate(asked)]
    if options.omni_spatial is not None:
        # Their images are another download, and not what is compared here.
        queries = [dataclasses.replace(query, images=()) for query in queries]
        asked = [sample.replace(image=None) for sample in asked]
    texts = sorted({example.text for example in pool})
    wanted_texts = sorted({query.text for query in queries})
    encoder = SentenceEncoder()
    began = time.perf_counter()
    known, wanted = encoder.encode(texts), encoder.encode(wanted_texts)
    encoding = time.perf_counter() - began

    import faiss

    index, truth = NearestTexts(known), brute_force(known.vectors, wanted.vectors, K)
    differing = {}
    for threads in THREADS:
        faiss.omp_set_num_threads(threads)
        for at_once in AT_ONCE:
            found = by_index(index, wanted, K, at_once)
            differing[f"{threads} threads, {at_once} at once"] = sum(
                a != b for a, b in zip(found, truth, strict=True)
            )
    faiss.omp_set_num_threads(1)
    few, before = texts[::40], torch.get_num_threads()
    vectors_moved = 0
    for threads in THREADS:
        torch.set_num_threads(threads)
        vectors_moved += int((encoder.encode(few).vectors != known.vectors[::40]).any(1).sum())
    torch.set_num_threads(before)

    with tempfile.TemporaryDirectory() as folder:
        copies = planted(asked, Path(folder))
        found_examples = choose(queries, [*pool, *copies], K, "nearest", encoder, 0, Path(folder) / "kept")
    own = sum(
        neighbour.example.id == f"planted {number}"
        for number, several in enumerate(found_examples.of)
        for neighbour in several
    )
    rates = []
    for _ in range(5):
        took = []
        for way in (
            lambda: by_index(index, wanted, K, 256),
            lambda: brute_force(known.vectors, wanted.vectors, K),
        ):
            began = time.perf_counter()
            way()
            took.append(len(wanted_texts) / (time.perf_counter() - began))
        rates.append(took)
    ratios = sorted(ours / other for ours, other in rates)
    middle = rates[len(rates) // 2]
    write_result(
        "retrieval",
        {
            "ours": round(middle[0], 1),
            "other": round(middle[1], 1),
            "ratio": round(ratios[len(ratios) // 2], 2),
            "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
            "unit": "queries a second",
            "what": "nearest texts by IndexFlatL2 and float64, and by brute force in float64; one thread",
            "questions": len(queries),
            "examples": len(pool),
            "different_texts": [len(wanted_texts), len(texts)],
            "cut_texts": known.cut + wanted.cut,
            "encoding_seconds": round(encoding, 1),
            "queries_that_differ_from_brute_force": differing,
            "vectors_that_depend_on_batch_or_threads": vectors_moved,
            "planted_duplicates_retrieved": own,
        },
    )
    if len(pool) < EXAMPLES:
        raise SystemExit(f"Only {len(pool)} examples: raise --scenes, {EXAMPLES} are asked for.")


if __name__ == "__main__":
    main()
