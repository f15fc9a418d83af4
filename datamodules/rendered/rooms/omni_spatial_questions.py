"""All questions in the manner of OmniSpatial that geometry can answer about an image."""

from __future__ import annotations

from random import Random

from datamodules.rendered.rooms.logic_questions import lettered, ordered
from datamodules.rendered.rooms.motion_questions import rolling, walking_times
from datamodules.rendered.rooms.omni_question import OmniQuestion
from datamodules.rendered.rooms.perspective_questions import allocentric, egocentric, hypothetical
from datamodules.rendered.rooms.place_questions import localization, strategy
from datamodules.rendered.rooms.room_sight import Sight


def offered(sight: Sight, random: Random) -> list[OmniQuestion]:
    """All questions on an image with a person (thing 0), a ball (1) and others, each of its own class."""
    return [
        *egocentric(sight, random),
        *allocentric(sight, random),
        *hypothetical(sight, random),
        *rolling(sight, random),
        *walking_times(sight, random),
        *localization(sight, random),
        *strategy(sight, random),
        *lettered(sight),
        *ordered(sight, random),
    ]
