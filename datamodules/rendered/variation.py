"""What is the same in all scenes but those of difficulty "varied", where each scene draws it anew."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from datamodules.rendered.camera import HEIGHT_RANGE_M, HORIZONTAL_FIELD_OF_VIEW_DEG
from datamodules.rendered.objects import FLOOR, PALLET_SIZE_M, SHELF_LENGTHS_M, Colour

VARIED_HEIGHTS_M = (4.0, 9.0)
"""Smallest and largest height of the camera, in metres."""

VARIED_FIELDS_OF_VIEW_DEG = (60.0, 90.0)
"""Smallest and largest angle between the left and the right border of the image, in degrees."""

VARIED_ROLLS_DEG = (-5.0, 5.0)
"""Smallest and largest turn of the camera about its optical axis, in degrees."""

VARIED_PALLETS = (0.877, 1.116)
"""Smallest and largest ratio of a scene's pallets to the standard one. Each differs by three percent from its
scene's size, so that all are within 15 percent of the standard."""

VARIED_SHELF_LENGTHS_M = (2.2, 5.0)
"""Length of the shortest and the longest shelf, in metres."""

VARIED_PEOPLE = (0, 3)
VARIED_ROBOTS = (0, 2)
"""Fewest and most people and small robots that stand in the way."""

FLOORS: tuple[Colour, ...] = (
    FLOOR,
    (0.30, 0.31, 0.33),
    (0.58, 0.57, 0.54),
    (0.30, 0.40, 0.33),
    (0.32, 0.37, 0.46),
    (0.50, 0.42, 0.34),
    (0.46, 0.30, 0.27),
)
"""Colours of floors: concrete, light or dark, and coats of green, blue, ochre and red."""

TINT = 0.12
"""By which part red and blue of the light may be stronger or weaker than green."""


@dataclass(frozen=True)
class Variation:
    """How a scene is seen and built.

    Attributes:
        heights_m: smallest and largest height of the camera above the floor, in metres.
        field_of_view_deg: angle between the left and the right border of the image, in degrees.
        roll_deg: turn of the camera about its optical axis, in degrees; positive where its right is lower.
        pallet_size_m: length and width of the scene's pallets, in metres.
        shelf_lengths_m: length of the shortest and the longest shelf, in metres.
        floor: colour of the floor, sRGB from 0 to 1.
        light: colour of the light, as factors around one.
        ceiling_m: height of the ceiling, in metres.
        people: how many people stand in the way.
        robots: how many small robots do.
    """

    heights_m: tuple[float, float] = HEIGHT_RANGE_M
    field_of_view_deg: float = HORIZONTAL_FIELD_OF_VIEW_DEG
    roll_deg: float = 0.0
    pallet_size_m: tuple[float, float] = PALLET_SIZE_M
    shelf_lengths_m: tuple[float, float] = SHELF_LENGTHS_M
    floor: Colour = FLOOR
    light: Colour = (1.0, 1.0, 1.0)
    ceiling_m: float = 9.0
    people: int = 0
    robots: int = 0

    @property
    def pallet_ratio(self) -> float:
        """By how much more room a pallet takes than a standard one, at its larger side."""
        return max(mine / usual for mine, usual in zip(self.pallet_size_m, PALLET_SIZE_M, strict=True))


USUAL = Variation()
"""How all scenes are seen and built that are not varied."""


def draw_variation(random: Random) -> Variation:
    """How one varied scene is seen and built."""
    warm = random.uniform(-TINT, TINT)
    return Variation(
        heights_m=VARIED_HEIGHTS_M,
        field_of_view_deg=random.uniform(*VARIED_FIELDS_OF_VIEW_DEG),
        roll_deg=random.uniform(*VARIED_ROLLS_DEG),
        pallet_size_m=(
            PALLET_SIZE_M[0] * random.uniform(*VARIED_PALLETS),
            PALLET_SIZE_M[1] * random.uniform(*VARIED_PALLETS),
        ),
        shelf_lengths_m=VARIED_SHELF_LENGTHS_M,
        floor=random.choice(FLOORS),
        light=(1 + warm, 1.0, 1 - warm),
        # Above the highest camera.
        ceiling_m=9.6,
        people=random.randint(*VARIED_PEOPLE),
        robots=random.randint(*VARIED_ROBOTS),
    )
