"""Which packages the figures of a GPU need; found out without importing any of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]

INSTALLED = ("torch", "transformers", "peft", "timm", "lightning", "pycocotools")
"""What has to be installed, at least as new as the project demands."""

BROUGHT = ("torchvision", "torchmetrics", "numpy", "pillow", "psutil")
"""What comes with them and is imported too; where it is older than the project demands, that is recorded."""


@dataclass(frozen=True)
class Package:
    """What a package lacks.

    Attributes:
        name: its name.
        bound: the oldest version that the project takes.
        found: the version that is there, or None.
    """

    name: str
    bound: str
    found: str | None

    def __str__(self) -> str:
        """The name, the bound, and what there is instead."""
        there = "which is absent" if self.found is None else f"but {self.found} is installed"
        return f"{self.name} >= {self.bound}, {there}"


def missing() -> list[Package]:
    """What is absent or too old for anything to be measured."""
    absent = [package for package in lacking(BROUGHT) if package.found is None]
    return lacking(INSTALLED) + absent


def below_bound() -> list[Package]:
    """What is older than the project demands, without being in the way."""
    return [package for package in lacking(BROUGHT) if package.found is not None]


def lacking(names: Iterable[str]) -> list[Package]:
    """Those of the project's packages that are absent or older than it demands."""
    every = [Package(name, bounds()[name], installed(name)) for name in names]
    return [package for package in every if package.found is None or _older(package.found, package.bound)]


def sentence(packages: Iterable[Package]) -> str:
    """What has to be installed, and how."""
    packages = list(packages)
    command = " ".join(f"'{package.name}>={package.bound}'" for package in packages)
    return (
        f"The figures of a GPU need {'; '.join(map(str, packages))}. Install what is missing: "
        f"python -m pip install {command}"
    )


def bounds() -> dict[str, str]:
    """The oldest version of each package that the project takes, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["qlora"]]
    found = (re.match(r"([\w.-]+)(?:\[[\w,]*\])?>=([\d.]+)$", requirement) for requirement in listed)
    return {match[1]: match[2] for match in found if match}


def installed(name: str) -> str | None:
    """The version of a package that is installed, if it is."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _older(version: str, bound: str) -> bool:
    """Whether a version's numbers come before the bound's.

    Only these count: NVIDIA's containers call their build of 2.9 `2.9.0a0+50eac811`.
    """
    mine, wanted = ([int(part) for part in re.findall(r"\d+", _numbers(text))] for text in (version, bound))
    longest = max(len(mine), len(wanted))
    return mine + [0] * (longest - len(mine)) < wanted + [0] * (longest - len(wanted))


def _numbers(version: str) -> str:
    match = re.match(r"[\d.]+", version)
    return match[0] if match else ""
