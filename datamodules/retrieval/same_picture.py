"""Whether two questions show the same picture, by its pixels, whatever file it lies in."""

from __future__ import annotations

import hashlib

from datamodules.retrieval.listed import Listed
from datamodules.samples import ImageSource, UnreadableImage, open_rgb


class PictureContents:
    """Tells of questions whether they share a picture; each is decoded once, when it is asked about."""

    def __init__(self) -> None:
        self._digests: dict[ImageSource, bytes | UnreadableImage] = {}

    def share(self, one: Listed, other: Listed) -> bool:
        """Whether two questions are about the same group or show a picture of the same pixels.

        Questions without any picture share one where they ask the same.
        """
        if one.group and one.group == other.group:
            return True
        if not one.images and not other.images:
            return one.text == other.text
        return not self.of(one).isdisjoint(self.of(other))

    def of(self, question: Listed) -> set[bytes]:
        """A digest of the pixels of each picture of a question that can be decoded."""
        digests = map(self._digest, question.images)
        return {digest for digest in digests if isinstance(digest, bytes)}

    def unreadable(self, question: Listed) -> dict[str, str]:
        """The pictures of a question that cannot be decoded, by name, and why."""
        digests = ((image, self._digest(image)) for image in question.images)
        return {image.name: str(error) for image, error in digests if isinstance(error, UnreadableImage)}

    def _digest(self, image: ImageSource) -> bytes | UnreadableImage:
        if image not in self._digests:
            try:
                pixels = open_rgb(image)
            except UnreadableImage as error:
                self._digests[image] = error
            else:
                content = f"{pixels.size}".encode() + pixels.tobytes()
                self._digests[image] = hashlib.blake2b(content, digest_size=16).digest()
        return self._digests[image]
