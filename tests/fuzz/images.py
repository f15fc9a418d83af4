"""Images as files hold them: cut off, flipped, of sizes that nobody has memory for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from datamodules.files.image_folder import ImageFolder
from datamodules.samples import ImageFile
from tests.fuzz.mutations import mutated_bytes
from tests.fuzz.trials import Target

PIXELS = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)


def saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    """A small image as a file of some form."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).convert(mode).save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


def with_size(png: bytes, width: int, height: int) -> bytes:
    """A PNG whose header says another size, with the check sum that belongs to it."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def files() -> Iterator[bytes]:
    """Whole files of the forms that images have."""
    for mode in ("RGB", "RGBA", "L", "P", "I;16", "1"):
        yield saved("PNG", mode)
    yield saved("JPEG", quality=80)
    yield saved("JPEG", "CMYK")
    yield saved("WEBP", lossless=True)
    yield saved("TIFF")
    yield saved("TIFF", "F")
    yield saved("GIF", "P")
    yield saved("BMP")


EXAMPLES = list(files())
LARGE = [
    with_size(EXAMPLES[0], width, height)
    for width, height in (
        (2**31 - 1, 2**31 - 1),
        (60_000, 60_000),
        (2**31 - 1, 1),
        (0, 0),
        (12, 2**20),
        (0, 9),
    )
]


def open_image(depth: bool, content: bytes, folder: Path) -> None:
    """Look at an image's size, then open it, as it is shown and as it is stored."""
    file = folder / "image"
    file.write_bytes(content)
    ImageFolder(folder).size(file, "Row 1")
    for stored in (False, True):
        ImageFile(file, stored=stored, depth=depth).open()


TARGETS = (
    Target("images", mutated_bytes(EXAMPLES), partial(open_image, False)),
    Target("depth images", mutated_bytes(EXAMPLES), partial(open_image, True)),
    Target(
        "images of untrue sizes",
        st.one_of(
            mutated_bytes(LARGE), st.builds(with_size, st.just(EXAMPLES[0]), *[st.integers(0, 2**32 - 1)] * 2)
        ),
        partial(open_image, False),
    ),
)
"""All of them."""
