"""What is known of a rendered scene beside its questions: every object that is seen, and the camera.

A rendered split holds `instances.json` and `instances/<frame>.png` beside its images. No record names them:
they are there for losses that need more than the regions of questions. The real benchmark has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.files.text_files import read_json
from datamodules.samples import DataError, ImageFile

CAMERA = ("height_m", "pitch_deg", "roll_deg", "field_of_view_deg")
"""What is said of each frame's camera."""


@dataclass(frozen=True)
class SceneTruth:
    """One rendered scene.

    Attributes:
        file: the image of its labels.
        kinds: what each object of the scene is ("pallet", "shelf", ...), whether it is seen or not.
        camera_height_m: height of the camera above the floor, in metres.
        pitch_deg: angle of the optical axis below the horizon, in degrees.
        roll_deg: turn about the optical axis, in degrees; positive where the camera's right side is lower.
        field_of_view_deg: angle between the left and the right border of the image, in degrees.
    """

    file: Path
    kinds: tuple[str, ...]
    camera_height_m: float
    pitch_deg: float
    roll_deg: float
    field_of_view_deg: float

    def labels(self) -> np.ndarray:
        """What every pixel shows, `[height, width]` in uint8: 0 the building, n the object `kinds[n - 1]`.

        The pixels are those of the stored image; a view that mirrors or cuts it does nothing here.

        Raises:
            UnreadableImage: the file is not there, or damaged.
            DataError: it speaks of more objects than there are.
        """
        # Eight bits of grey, taken as they are: as depth is, and no colour.
        labels = np.asarray(ImageFile(self.file, stored=True, depth=True).open())
        if labels.max(initial=0) > len(self.kinds):
            raise DataError(
                f"{self.file} shows an object {labels.max()}, but its scene has {len(self.kinds)} objects. "
                "Render the scenes again."
            )
        return labels

    def masks(self, kind: str) -> np.ndarray:
        """The masks of all objects of a kind that are seen, `[objects, height, width]`, boolean.

        Raises:
            UnreadableImage: the file is not there, or damaged.
            DataError: it speaks of more objects than there are.
        """
        labels = self.labels()
        numbers = [number for number, each in enumerate(self.kinds, 1) if each == kind]
        return np.array([labels == number for number in numbers if (labels == number).any()]).reshape(
            -1, *labels.shape
        )

    def content(self) -> bytes | None:
        """What decides on the masks: the kinds and the file's bytes; None where it cannot be read."""
        try:
            return repr(self.kinds).encode() + self.file.read_bytes()
        except OSError:
            return None


def scene_truth(split: Path, image: str) -> SceneTruth | None:
    """What is known of a frame, or None where its split says nothing of it, as in the real benchmark.

    The split's file is read once a process; no image is opened before `SceneTruth.labels`.

    Args:
        split: the folder that holds `images` and `depths`.
        image: the name of the image in it ("000012.png").

    Raises:
        DataError: the split's file is not what the renderer writes.
    """
    path = Path(split) / "instances.json"
    try:
        state = path.stat()
    except OSError:
        return None
    scene = _scenes(path, state.st_mtime_ns, state.st_size).get(frame := Path(image).stem)
    if scene is None:
        return None
    return _checked(scene, f"The scene {frame!r} in {path}", path.parent / "instances" / f"{frame}.png")


@lru_cache(maxsize=8)
def _scenes(path: Path, _changed: int, _size: int) -> dict[str, Any]:
    """The content of a file; another time of change or size is another file."""
    scenes = read_json(path)
    if not isinstance(scenes, dict):
        raise DataError(f"{path} holds no scenes by the names of their frames. Render the scenes again.")
    return scenes


def _checked(scene: Any, where: str, file: Path) -> SceneTruth:
    """The scene, if it says all that it should."""
    kinds = scene.get("kinds") if isinstance(scene, dict) else None
    camera = scene.get("camera") if isinstance(scene, dict) else None
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise DataError(f"{where} has no list of the `kinds` of its objects. Render the scenes again.")
    numbers: list[Any] = [camera.get(name) if isinstance(camera, dict) else None for name in CAMERA]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise DataError(
            f"{where} has no `camera` with the numbers {', '.join(CAMERA)}. Render the scenes again."
        )
    return SceneTruth(file, tuple(kinds), *map(float, numbers))
