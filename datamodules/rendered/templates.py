"""How questions and free-form answers are worded; the few words are those of the real benchmark.

Slots in braces take phrases that already name their objects. Where several wordings stand for the same thing,
one of them is drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

VIEWPOINTS = (
    "",
    "",
    "From this viewpoint, ",
    "From the current viewing position, ",
    "From this perspective, ",
    "In this image, ",
    "Looking at this scene, ",
    "From where the camera stands, ",
)

LEFT_RIGHT = (
    "does {a} appear on the {side}-hand side of {b}?",
    "is {a} to the {side} of {b}?",
    "is {a} on the left or on the right of {b}?",
    "does {a} appear to the left or to the right of {b}?",
    "is {a} situated to the {side} of {b}?",
    "is {a} on the {side} side of {b}?",
    "on which side of {b} is {a}, left or right?",
    "can you confirm if {a} is positioned to the {side} of {b}?",
    "would you say that {a} is to the {side} of {b}?",
)

LEFT_RIGHT_ANSWERS = (
    "{a} is to the {side} of {b}.",
    "{a} is on the {side} side of {b}.",
    "From this viewpoint, {a} is to the {side} of {b}.",
    "{a} appears on the {side}-hand side of {b}.",
)

WHICH_OF = (
    "which of {group} is {best}?",
    "which one of {group} is {best}?",
    "can you tell which of {group} is {best}?",
    "among {group}, which one is {best}?",
    "out of {group}, which is {best}?",
    "can you identify which of {group} is {best}?",
    "if you look at {group}, which one is {best}?",
)

WHICH = (
    "which {kind} is {best}?",
    "can you tell which {kind} is {best}?",
    "can you identify the {kind} that is {best}?",
    "what {kind} is {best}?",
    "tell me which {kind} is {best}.",
    "find the {kind} that is {best}.",
)

MOST = (
    "holds the most pallets",
    "contains the largest number of pallets",
    "has the most pallets inside",
    "has the highest number of pallets",
)

FEWEST = (
    "holds the fewest pallets",
    "contains the smallest number of pallets",
    "has the fewest pallets inside",
    "has the lowest number of pallets",
)

EMPTY = ("is empty", "holds no pallets", "has no pallets inside", "is free of pallets")

BUFFER_WHICH = (
    "which buffer region {does}?",
    "can you tell which buffer region {does}?",
    "which one of the buffer regions {does}?",
    "tell me which buffer region {does}.",
    "can you identify the buffer region that {does}?",
)

BUFFER_WHICH_OF = (
    "which of {group} {does}?",
    "which one of {group} {does}?",
    "among {group}, which one {does}?",
    "can you tell which of {group} {does}?",
    "out of {group}, which one {does}?",
)

PICK_UP = (
    "which pallet should {transporter} pick up to keep its way short?",
    "which pallet is the best choice for {transporter} to pick up?",
    "which pallet is the best candidate for an automated pickup by {transporter}?",
    "for the shortest way, which pallet should be picked up by {transporter}?",
)

DISTANCE = (
    "What is the distance between {a} and {b}?",
    "How far is {a} from {b}?",
    "How far apart are {a} and {b}?",
    "How distant is {a} from {b}?",
    "How close is {a} to {b}?",
    "Tell me the distance between {a} and {b}.",
    "Can you give me an estimation of the distance between {a} and {b}?",
    "Can you measure the distance from {a} to {b}?",
    "What is the distance from {a} to {b} in meters?",
    "How many meters lie between {a} and {b}?",
    "Estimate the distance between {a} and {b}.",
    "Could you tell me how far {a} is from {b}?",
    "How much distance is there between {a} and {b}?",
    "Give the distance from {a} to {b}.",
    "How many meters is {a} away from {b}?",
    "What would you say is the distance between {a} and {b}?",
    "I need to know the distance from {a} to {b}.",
    "How far away is {a} from {b}?",
    "Please estimate how far {a} is from {b}.",
    "Measure how far {a} and {b} are apart.",
)

DISTANCE_ANSWERS = (
    "{a} is {metres} meters away from {b}.",
    "{a} is {metres} meters from {b}.",
    "{a} and {b} are {metres} meters apart.",
    "{a} and {b} are {metres} meters apart from each other.",
    "The distance of {a} from {b} is {metres} meters.",
    "The distance from {a} to {b} is approximately {metres} meters.",
)

COUNT = (
    "how many pallets are in {region}?",
    "how many pallets are there in {region}?",
    "how many pallets can you see in {region}?",
    "what is the number of pallets in {region}?",
    "can you count the pallets in {region}?",
    "count the pallets in {region}.",
    "tell me the number of pallets that {region} holds.",
    "how many pallets does {region} hold?",
    "how many pallets stand inside {region}?",
    "can you tell me how many pallets are located in {region}?",
)

COUNT_OF = (
    "how many of {group} are in {region}?",
    "how many of {group} stand inside {region}?",
    "among {group}, how many are located in {region}?",
    "out of {group}, how many are in {region}?",
    "can you count how many of {group} are in {region}?",
)

OPENINGS = (
    "Given {groups}, {question}",
    "Considering {groups}, {question}",
    "Looking at {groups}, {question}",
    "Taking into account {groups}, {question}",
    "Here are {groups}. {Question}",
    "With {groups} in view, {question}",
)

EXTREMES = {
    "left": ("the leftmost", "the farthest to the left", "the furthest left"),
    "right": ("the rightmost", "the farthest to the right", "the furthest right"),
}

EXTREME_REFERENCES = {
    "left": ("the leftmost {kind}", "the {kind} on the left"),
    "right": ("the rightmost {kind}", "the {kind} on the right"),
}

EXTREME_ANSWERS = {
    "left": (
        "{a} is the leftmost object from this viewpoint.",
        "{a} is the leftmost one.",
        "The leftmost is {a}.",
    ),
    "right": (
        "{a} is the rightmost object from this viewpoint.",
        "{a} is the rightmost one.",
        "The rightmost is {a}.",
    ),
}

CLOSEST = ("the closest to {target}", "the nearest to {target}", "closest to {target}", "nearest to {target}")

CLOSEST_REFERENCES = (
    "the {kind} closest to {target}",
    "the {kind} nearest to {target}",
    "the {kind} that is closest to {target}",
)

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def worded(random: Random, wordings: Sequence[str], **slots: str) -> str:
    """One of the wordings with its slots filled."""
    return random.choice(wordings).format(**slots)


def sentence(random: Random, wordings: Sequence[str], **slots: str) -> str:
    """The same as a sentence that may name the point of view first."""
    return capitalised(random.choice(VIEWPOINTS) + worded(random, wordings, **slots))
