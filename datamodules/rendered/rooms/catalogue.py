"""Which objects there are, what they are called, and where they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal

from datamodules.rendered.rooms import furniture, outdoors, raised
from datamodules.rendered.rooms.palette import BRIGHT, CALM, COLOURS, WOODS, Colour, shade
from datamodules.rendered.rooms.solids import Solid

Place = Literal["room", "yard"]
PLACES: tuple[Place, ...] = ("room", "yard")
Maker = Callable[[Random, Colour], list[Solid]]


@dataclass(frozen=True)
class Kind:
    """A class of objects.

    Attributes:
        name: what one of them is called.
        plural: what several are called.
        make: builds one of a colour.
        colours: the names of the colours it comes in; () for wood in its own colours, which is not named.
        large: whether it takes much of the floor; such things are placed first and rarely come in numbers.
        blank_rear: whether it cannot be told from behind.
        places: where it stands; () for what only some scenes have.
    """

    name: str
    plural: str
    make: Maker
    colours: tuple[str, ...]
    large: bool = False
    blank_rear: bool = False
    places: tuple[Place, ...] = ("room",)

    def paint(self, random: Random) -> tuple[str, Colour]:
        """The name of a colour ("" where it is not named) and the colour."""
        if not self.colours:
            return "", shade(random, random.choice(WOODS))
        name = random.choice(self.colours)
        return name, shade(random, COLOURS[name])


_YARD: tuple[Place, ...] = ("yard",)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("table", "tables", furniture.table, (), large=True),
            Kind("chair", "chairs", furniture.chair, (*CALM, "yellow", "orange")),
            Kind("stool", "stools", furniture.stool, (*CALM, "yellow", "pink")),
            Kind("sofa", "sofas", furniture.sofa, CALM, large=True, blank_rear=True),
            Kind("bed", "beds", furniture.bed, BRIGHT, large=True, blank_rear=True),
            Kind("lamp", "lamps", furniture.lamp, ("white", "yellow", "orange", "red", "green", "blue")),
            Kind("bookshelf", "bookshelves", furniture.bookshelf, (), large=True, blank_rear=True),
            Kind("cabinet", "cabinets", furniture.cabinet, (), blank_rear=True),
            Kind("carton", "cartons", furniture.carton, ("brown",)),
            Kind("vase", "vases", furniture.vase, (*BRIGHT, "white", "black")),
            Kind("potted plant", "potted plants", furniture.potted_plant, (*CALM, "orange")),
            Kind("television", "televisions", furniture.television, (), large=True, blank_rear=True),
            Kind("ball", "balls", furniture.ball, BRIGHT, places=PLACES),
            Kind("person", "people", outdoors.person, (*BRIGHT, "white", "black"), places=PLACES),
            Kind("car", "cars", outdoors.car, (*BRIGHT, "white", "gray"), large=True, places=_YARD),
            Kind("tree", "trees", outdoors.tree, ("green",), places=_YARD),
            Kind("bench", "benches", outdoors.bench, ("brown", "green", "white", "red"), places=_YARD),
            Kind("traffic cone", "traffic cones", outdoors.traffic_cone, ("orange", "red"), places=_YARD),
            Kind(
                "barrel", "barrels", outdoors.barrel, ("blue", "red", "green", "gray", "yellow"), places=_YARD
            ),
            Kind("crate", "crates", outdoors.crate, ("brown",), places=_YARD),
            Kind(
                "trash bin",
                "trash bins",
                outdoors.trash_bin,
                ("green", "gray", "blue", "black"),
                places=_YARD,
            ),
            Kind("fire hydrant", "fire hydrants", outdoors.fire_hydrant, ("red", "yellow"), places=_YARD),
            Kind("mailbox", "mailboxes", outdoors.mailbox, ("red", "blue", "yellow", "green"), places=_YARD),
            Kind("parasol", "parasols", outdoors.parasol, BRIGHT, places=_YARD),
            Kind("rack", "racks", raised.rack, (), large=True, places=()),
        )
    }
)
"""All classes of objects by their names."""


def kinds_of(place: Place) -> list[Kind]:
    """The classes that stand in a place."""
    return [kind for kind in KINDS.values() if place in kind.places]
