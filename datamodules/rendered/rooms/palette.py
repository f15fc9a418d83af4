"""Colours with names that a person would give them, in sRGB from 0 to 1."""

from __future__ import annotations

from random import Random

Colour = tuple[float, float, float]

COLOURS: dict[str, Colour] = {
    "red": (0.76, 0.13, 0.12),
    "orange": (0.92, 0.47, 0.08),
    "yellow": (0.91, 0.76, 0.12),
    "green": (0.15, 0.50, 0.22),
    "blue": (0.15, 0.32, 0.72),
    "purple": (0.46, 0.22, 0.60),
    "pink": (0.93, 0.55, 0.68),
    "brown": (0.44, 0.28, 0.16),
    "white": (0.88, 0.88, 0.86),
    "gray": (0.50, 0.50, 0.52),
    "black": (0.09, 0.09, 0.10),
}
"""What a colour is called, and what it looks like."""

BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
"""Colours of toys, cars and fabrics."""

CALM = ("white", "gray", "black", "brown", "blue", "green", "red")
"""Colours of furniture."""

WOODS: tuple[Colour, ...] = ((0.62, 0.44, 0.27), (0.50, 0.34, 0.20), (0.72, 0.55, 0.36), (0.38, 0.25, 0.15))
BLACK: Colour = (0.06, 0.06, 0.07)
STEEL: Colour = (0.55, 0.56, 0.58)
WHITE: Colour = (0.90, 0.90, 0.88)
GLASS: Colour = (0.12, 0.16, 0.20)


def shade(random: Random, colour: Colour, amount: float = 0.08) -> Colour:
    """The colour, a little lighter or darker."""
    factor = 1 + random.uniform(-amount, amount)
    return (min(colour[0] * factor, 1.0), min(colour[1] * factor, 1.0), min(colour[2] * factor, 1.0))


def darker(colour: Colour, factor: float) -> Colour:
    """The colour with every part multiplied by a factor below one."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
