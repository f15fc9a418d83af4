"""What objects are called in a sentence, so that it is clear which one is meant."""

from __future__ import annotations

from datamodules.rendered.rooms.catalogue import KINDS
from datamodules.rendered.rooms.room_scene import RoomScene, Thing

NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def name_of(scene: RoomScene, thing: Thing) -> str | None:
    """The class, with the colour where several are of that class; None where that is not enough either."""
    same = [other for other in scene.things if other.kind == thing.kind]
    if len(same) == 1:
        return thing.kind
    if not thing.colour or sum(other.colour == thing.colour for other in same) > 1:
        return None
    return f"{thing.colour} {thing.kind}"


def numbered(number: int, kind: str) -> str:
    """A number of objects in words, as in "two lamps"."""
    return f"{NUMBER_WORDS[number]} {kind if number == 1 else KINDS[kind].plural}"
