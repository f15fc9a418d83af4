"""The short names of the suite's classes: `class_path: TinyGiant`, in a file or on the command line.

They are looked up before anything is parsed, so that nothing has to be imported to know them; a saved
`config.yaml` has the whole paths.
"""

from __future__ import annotations

import re

_VIEWS = "datamodules.views"

CLASSES = {
    "TinyGiant": "lightning_modules.tiny_giant.module",
    "PeftSft": "lightning_modules.vlm.sft",
    "DistilledStudent": "lightning_modules.distillation.module",
    "WarmupCosine": "lightning_modules.schedule",
    "AiCityTrack3": "datamodules.ai_city_track3",
    "CvBench": "datamodules.cv_bench",
    "OmniSpatial": "datamodules.omni_spatial",
    "SpaceThinker": "datamodules.space_thinker",
    "OwnImages": "datamodules.own_images",
    "Mixture": "datamodules.mixture",
    "InContext": "datamodules.in_context",
    "AsMultipleChoice": _VIEWS,
    "Blind": _VIEWS,
    "Blurred": _VIEWS,
    "BoxesInText": _VIEWS,
    "Compressed": _VIEWS,
    "DepthAsImage": _VIEWS,
    "DroppedDepth": _VIEWS,
    "Grayscale": _VIEWS,
    "LowLight": _VIEWS,
    "Marked": _VIEWS,
    "Mirrored": _VIEWS,
    "NoDepth": _VIEWS,
    "NoisyDepth": _VIEWS,
    "NoisyImages": _VIEWS,
    "Paraphrased": _VIEWS,
    "PlainGray": _VIEWS,
    "RotatedChoices": _VIEWS,
    "ShuffledRegions": _VIEWS,
    "SwappedOrder": _VIEWS,
}
"""The module of each class, by the class's name."""

_NAMED = re.compile(r"""(?P<before>\bclass_path["']?\s*:\s*["']?)(?P<name>[A-Z]\w*)(?![\w.])""")
_LISTED = re.compile(r"""(?P<before>\bviews["']?\s*:\s*)(?P<list>\[[^][{}]*\])""")
_WORD = re.compile(r"(?<![\w.])[A-Z]\w*(?![\w.])")
_HOLDS_NO_CLASS = ("-c", "--config", "--name", "--resume", "--scale", "--ckpt_path")


def whole_path(name: str) -> str:
    """The import path of a class by its short name; any other word stays as it is."""
    return f"{CLASSES[name]}.{name}" if name in CLASSES else name


def with_whole_paths(text: str) -> str:
    """A YAML text whose short names, behind `class_path:` or in a list of views, are whole paths.

    Names that are none of the suite's are left to the parser, which knows those of Lightning.
    """
    return "\n".join(line if line.lstrip().startswith("#") else _in_line(line) for line in text.split("\n"))


def typed_in_full(options: list[str]) -> list[str]:
    """Typed options whose values are, list or hold short names of classes, with whole paths."""
    resolved: list[str] = []
    flag = ""
    for option in options:
        name, equals, value = option.partition("=")
        if not option.startswith("-"):
            resolved.append(option if flag in _HOLDS_NO_CLASS else _value(option))
        else:
            resolved.append(f"{name}={_value(value)}" if equals and name not in _HOLDS_NO_CLASS else option)
        flag = "" if equals or not option.startswith("-") else name
    return resolved


def _in_line(line: str) -> str:
    line = _NAMED.sub(lambda found: found["before"] + whole_path(found["name"]), line)
    return _LISTED.sub(lambda found: found["before"] + _words(found["list"]), line)


def _words(text: str) -> str:
    return _WORD.sub(lambda word: whole_path(word[0]), text)


def _value(value: str) -> str:
    listed = value.startswith("[") and "{" not in value
    return _words(value) if listed else with_whole_paths(whole_path(value))
