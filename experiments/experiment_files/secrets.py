"""Keys and tokens belong into the environment: a configuration that holds one is refused, and none is shown.

What a run is told it writes down, in `config.yaml` and `run.json`, which are copied and shown to others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.run_folders.run_folder import RunError

MASK = "***"

_SHORTEST = 8
"""So many letters a variable of the environment has that is taken for a secret, and not for a word."""

_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:\w*TOKEN|API_?KEY|SECRET(?:_\w+)?|CREDENTIALS?|PAT)$|_(?:KEY|PASS|PWD)$"
    r"|PASS(?:WORD|WD|PHRASE)$",
    re.IGNORECASE,
)
_SECRET_KEY = re.compile(
    r"(?:(?:hf|hub|auth|access|api|bearer)[_-])?token|(?:\w+[_-])?(?:api|secret|access|private)[_-]?key"
    r"|(?:client[_-])?secret|password|passwd|passphrase|authorization",
    re.IGNORECASE,
)
_IN_A_URL = re.compile(
    r"(?<=://)[^/\s@'\"]+(?=@)"
    r"|(?<=[?&])(?:[\w-]*token|api_?key|sig|X-(?:Amz|Goog)-(?:Signature|Credential))=[^&\s'\"]+",
    re.IGNORECASE,
)
_FORMS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{20,}"
    r"|wandb_v1_\w{16,}|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|xox[abeoprs]-[\w-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_FROM_THE_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:\s*(?P<name>\w+)")


class SecretInConfiguration(RunError):
    """A configuration holds a key or a token."""


def masked(text: str) -> str:
    """A text without the secrets of the environment, those of addresses, and what looks like one."""
    for value in _secrets():
        text = text.replace(value, MASK)
    return _FORMS.sub(MASK, _IN_A_URL.sub(MASK, text))


def refuse_secrets(tree: Any, where: str) -> None:
    """Raise `SecretInConfiguration` where some value is a secret, or is one by the name of its key.

    Args:
        tree: keys with values, as a file has them.
        where: what to call it in the message.
    """
    secrets = _secrets()
    for key, value in _leaves(tree):
        if what := _what_it_is(key.rpartition(".")[2], value, secrets):
            raise SecretInConfiguration(
                f"{masked(key)} of {masked(where)} is {what}, which the run would write down. Take it "
                "out, and put it into the environment (HF_TOKEN, WANDB_API_KEY and the like) or into a login "
                "(`hf auth login`, `wandb login`), where the libraries look for it."
            )


def _what_it_is(key: str, value: object, secrets: list[str]) -> str:
    """What sort of a secret a value is; "" where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    value = str(value)
    if _IN_A_URL.search(value):
        return "an address with a name or a password in it"
    if _FORMS.search(value) or any(secret in value for secret in secrets):
        return "a token or holds one"
    if (named := _FROM_THE_ENVIRONMENT.search(value)) and _SECRET_VARIABLE.search(named["name"]):
        return f"the value of {named['name']}"
    if value and _SECRET_KEY.fullmatch(key):
        return "a key, a token or a password by its name"
    return ""


def _secrets() -> list[str]:
    """The values of the environment's variables that are secrets by their names, the longest first."""
    found = {
        value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST
    }
    return sorted(found, key=len, reverse=True)


def _leaves(tree: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a tree with their dotted keys; a key that is one itself is a value as well."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield key, name
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _leaves(value, key)
    else:
        yield key, tree
