"""Lengths as people write them: in metres, centimetres, feet or inches, exact or as a range."""

from __future__ import annotations

import math
from dataclasses import dataclass

RANGE_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Unit:
    """A unit of length.

    Attributes:
        name: its plural, as in "meters".
        one: its singular.
        metres: how many metres one of it is.
        step: answers are rounded to a multiple of this, in the unit itself.
        span: width of a range, in the unit itself.
    """

    name: str
    one: str
    metres: float
    step: float
    span: float

    def rounded(self, length_m: float) -> float:
        """A length in metres as a number of this unit, rounded to its step."""
        return round(round(length_m / self.metres / self.step) * self.step, 6)

    def exact(self, length_m: float) -> str:
        """A length in metres as in "1.5 meters"."""
        number = self.rounded(length_m)
        return f"{number:g} {self.one if number == 1 else self.name}"

    def between(self, length_m: float) -> str:
        """The range that a length in metres lies in, as in "1.5-2 meters"."""
        low = math.floor(length_m / self.metres / self.span) * self.span
        return f"{low:g}{RANGE_DASH}{low + self.span:g} {self.name}"


METRES = Unit("meters", "meter", 1.0, 0.1, 0.5)
CENTIMETRES = Unit("centimeters", "centimeter", 0.01, 5.0, 20.0)
FEET = Unit("feet", "foot", 0.3048, 0.5, 1.0)
INCHES = Unit("inches", "inch", 0.0254, 1.0, 6.0)
