"""Texts in records as people and programs leave them: a missing one is none, and not the word for it."""

from __future__ import annotations

from datamodules.samples import DataError


def is_missing(value: object) -> bool:
    """Whether a value is null, NaN (by which tables say that one is missing) or blank."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def text_in(value: object, name: str, where: str) -> str:
    """A text or a number as text.

    Args:
        value: what the file holds.
        name: the key or column it stands under.
        where: what to call the record in messages.

    Raises:
        DataError: it is missing, or neither a text nor a number.
    """
    if is_missing(value):
        raise DataError(f"{where} has a missing `{name}`: {value!r}. Fill it in, or remove the record.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{where} has the `{name}` {value!r:.60}, which is neither a text nor a number.")
    return str(value).strip()


def texts_in(value: object, name: str, where: str) -> tuple[str, ...]:
    """A list of texts and numbers as texts; raises `DataError` for what is no list, and as `text_in` does."""
    if not isinstance(value, list) or any(isinstance(each, list | dict) for each in value):
        raise DataError(f"{where} has `{name}` that are not a list of texts: {value!r:.60}.")
    return tuple(text_in(each, name, where) for each in value)
