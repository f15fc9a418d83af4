"""What retrieval knows of each question of a split: enough to find it, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from datamodules.loading.grouped import GroupedQuestions
from datamodules.samples import ImageFile, ImageSource, SpatialSample
from datamodules.views.view import DerivedImage

Place = tuple[int, int]
"""Where a question stands in its split: the number of its image, and its own number among that image's."""


@dataclass(frozen=True)
class Listed:
    """A question of a split.

    Attributes:
        id: its id.
        group: the image it shares with others.
        text: what is embedded.
        place: where it stands.
        images: the images it shows, each as it was before the views.
    """

    id: str
    group: str
    text: str
    place: Place
    images: tuple[ImageSource, ...]

    @property
    def state(self) -> str:
        """All that decides about its neighbours; an image is told by its file's size and time of change."""
        images = [_state(image) for image in self.images]
        return "\n".join([self.id, self.group, self.text, str(self.place), *images])


def sentence_of(sample: SpatialSample) -> str:
    """What is embedded of a question, of those that are asked as of examples: it and its choices.

    Its answer is not in it.
    """
    return "\n".join([sample.question, *sample.choices])


def listed(questions: GroupedQuestions) -> Iterator[tuple[Listed, SpatialSample]]:
    """The questions of a split in order, with their records."""
    for group, size in enumerate(questions.group_sizes()):
        for number, sample in enumerate(questions.samples(group, range(int(size)))):
            yield one_listed(sample, (group, number)), sample


def one_listed(sample: SpatialSample, place: Place) -> Listed:
    """A record that stands somewhere in its split."""
    images = (() if sample.image is None else (sample.image,)) + sample.further_images
    return Listed(sample.id, sample.group, sentence_of(sample), place, tuple(map(_unchanged, images)))


def _unchanged(image: ImageSource) -> ImageSource:
    """An image without the changes of views: a picture in gray shows what it shows in colour."""
    while isinstance(image, DerivedImage):
        image = image.source
    return image


def _state(image: ImageSource) -> str:
    if isinstance(image, ImageFile):
        try:
            status = image.path.stat()
        except OSError:
            return f"{image.path.name} missing"
        return f"{image.path.name} {status.st_size} {status.st_mtime_ns}"
    return image.name
