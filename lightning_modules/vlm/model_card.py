"""The README of an exported folder: what lies in it, and the code that opens it and asks it a question."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.families import Family
from lightning_modules.vlm.four_bit import loading_settings
from lightning_modules.vlm.loading import COMPOSED
from lightning_modules.vlm.prompt_template import BARE, Prompt
from lightning_modules.vlm.prompts import Turn

CARD = "README.md"
TEMPLATE = "model_card.md.jinja"

Kind = Literal["peft", "bottleneck", "model"]
"""Who opens a folder: peft, this project, or transformers alone."""

_QUESTION = "X"


@dataclass(frozen=True)
class Base:
    """The model that an adapter was trained on.

    Attributes:
        place: its folder, or its name on the hub; "" where it lies nowhere.
        what: what it is, where it was made here: a tiny random model, or a model that was put together.
        revision: the commit of the hub that it was loaded from.
    """

    place: str
    what: str = ""
    revision: str | None = None

    @property
    def on_hub(self) -> bool:
        """Whether the hub has it."""
        return bool(self.place) and not Path(self.place).is_absolute()

    def __str__(self) -> str:
        """What it is, and where."""
        return f"{self.what}, in {self.place}" if self.what and self.place else self.what or self.place


def write_card(
    folder: Path,
    kind: Kind,
    title: str,
    model: Any,
    family: Family,
    base: Base | None = None,
    processor: Any = None,
    token_ids: dict[str, int] | None = None,
    prompt: Prompt = BARE,
) -> None:
    """Write the README of a folder.

    Args:
        folder: the folder.
        kind: who opens it.
        title: what lies in it, a sentence.
        model: the model of transformers, without what peft has put around it.
        family: its family.
        base: the model that an adapter belongs to.
        processor: the whole processor, where it lies in the folder beside a generation_config.json.
        token_ids: the added tokens that every prompt begins with, and their ids.
        prompt: the words that it was asked in.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["python"] = repr
    tokens = token_ids or {}
    in_4_bits = loading_settings(model, family.parts) if base else {}
    imports = {
        "AutoModelForImageTextToText": True,
        "AutoProcessor": processor is not None,
        "BitsAndBytesConfig": bool(in_4_bits),
        "GenerationConfig": processor is not None and kind != "model",
    }
    text = environment.get_template(TEMPLATE).render(
        kind=kind,
        title=title,
        folder=str(folder.absolute()),
        base=base,
        place="" if base is None else _as_code(base.place, folder),
        composed=family.name == COMPOSED,
        in_4_bits=in_4_bits,
        imports=[name for name, used in imports.items() if used],
        dtype=str(model.get_input_embeddings().weight.dtype).removeprefix("torch."),
        tied=model.config.tie_word_embeddings,
        tokens=list(tokens),
        rows=max(tokens.values(), default=0) + 1,
        answers=processor is not None,
        chat=family.chat,
        before_question=_before_question(processor, family) if processor is not None else "",
        prompt=prompt,
        ending=_ending_of(prompt),
    )
    (folder / CARD).write_text(text)


def _ending_of(prompt: Prompt) -> str | dict[str, str]:
    """The last line of a prompt: for all forms of answers, or by their names."""
    if prompt.file is not None:
        return ""
    return prompt.ending if isinstance(prompt.ending, str) else {str(k): v for k, v in prompt.ending.items()}


def _as_code(place: str, folder: Path) -> str:
    """A base model's place; one beside the adapter stays so where both are moved."""
    if place and Path(place).parent == folder.absolute().parent:
        return f'folder + "/../{Path(place).name}"'
    return repr(place)


def _before_question(processor: Any, family: Family) -> str:
    """What stands between image and question where there is no chat template; the processor adds the rest."""
    if family.chat:
        return ""
    prompt = Conversation(processor, family).prompt([Turn((), _QUESTION)])
    return prompt.partition(_QUESTION)[0].removeprefix(processor.tokenizer.bos_token or "")
