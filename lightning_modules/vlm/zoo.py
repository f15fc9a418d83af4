"""The zoo: vision-language models by name.

To add a model whose family is known, add one entry with its name on the hub. A model of another family also
needs a `Family` in families.py, and in tiny_models.py a function that makes its tiny random model.
Models outside of the zoo run as well: give `model` a folder, `owner/name` or `owner/name@revision` instead of
one of these names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lightning_modules.base import ModelError
from lightning_modules.vlm.families import FAMILIES, Family


@dataclass(frozen=True)
class ZooEntry:
    """A model of the zoo.

    Attributes:
        name: what YAML files call it.
        hub: its name on the hub.
        family_name: the name of its family.
        revision: the branch, tag or commit to take; the main branch where there is none.
    """

    name: str
    hub: str
    family_name: str
    revision: str | None = None

    @property
    def family(self) -> Family:
        """The family; raises `ModelError` where nobody has registered it."""
        if self.family_name not in FAMILIES:
            raise ModelError(
                f"The model {self.name} is of the family {self.family_name!r}, which is not known."
            )
        return FAMILIES[self.family_name]


ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry("smolvlm_256m", "HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3"),
        ZooEntry("smolvlm_500m", "HuggingFaceTB/SmolVLM-500M-Instruct", "idefics3"),
        ZooEntry("smolvlm_2b", "HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm"),
        ZooEntry("qwen2_5_vl_3b", "Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl"),
        ZooEntry("qwen2_5_vl_7b", "Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
        ZooEntry("internvl3_1b", "OpenGVLab/InternVL3-1B-hf", "internvl"),
        ZooEntry("internvl3_2b", "OpenGVLab/InternVL3-2B-hf", "internvl"),
        ZooEntry("paligemma2_3b", "google/paligemma2-3b-mix-224", "paligemma"),
    )
}
"""The models by name."""


def entry_of(name: str) -> ZooEntry | None:
    """The model of a name such as `smolvlm_500m`, or of `smolvlm_500m@revision`; None for what is no such."""
    if name in ZOO or Path(name).is_dir():
        return ZOO.get(name)
    entry, (_, at, revision) = ZOO.get(name.partition("@")[0]), name.partition("@")
    return replace(entry, revision=revision) if entry and at else None
