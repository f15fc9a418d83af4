"""What a refusal of the model hub means, as a sentence: gated, missing, unreachable, or something else."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Literal

HubKind = Literal["model", "dataset"]

_CALLED: dict[HubKind, str] = {"model": "model", "dataset": "data set"}
_PAGE: dict[HubKind, str] = {
    "model": "https://huggingface.co/",
    "dataset": "https://huggingface.co/datasets/",
}
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_LOGIN = "log in with `hf auth login` (or set HF_TOKEN)"


def why_not_fetched(
    error: BaseException, kind: HubKind, repository: str, revision: str | None = None
) -> str | None:
    """What kept a repository from being fetched and what to do, as a sentence; None where the hub did not.

    Libraries wrap what the hub says in errors of their own, so the whole chain of causes is looked at.

    Args:
        error: what was raised.
        kind: whether a model or a data set was asked for.
        repository: its name on the hub, `owner/name`.
        revision: the branch, tag or commit that was asked for; the main branch without any.
    """
    from huggingface_hub import errors

    causes = list(_causes(error))

    def found(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    what = f"the {_CALLED[kind]} {repository}"
    name = f"T{what[1:]}"
    at = f" at revision {revision!r}" if revision else ""
    page = f"{_PAGE[kind]}{repository}"
    if found(errors.GatedRepoError):
        return (
            f"{name} is gated: accept its licence at {page}, and {_LOGIN}; then run the same command again."
        )
    if found(errors.LocalTokenNotFoundError):
        return f"{name} needs a login. Accept its licence at {page}, and {_LOGIN}."
    if found(errors.DisabledRepoError):
        return f"{name} has been closed by the hub: {page} says more."
    if found(errors.RevisionNotFoundError):
        return (
            f"{name} has no revision {revision or 'main'!r} on the hub: check the spelling of the branch, "
            f"tag or commit, or name {repository} alone for its main branch."
        )
    if found(errors.RepositoryNotFoundError):
        return _missing(kind, repository, at)
    if found(errors.HFValidationError):
        return f"{repository!r} cannot be a name on the hub: give owner/name or owner/name@revision."
    if found(errors.RemoteEntryNotFoundError):
        entry = next(cause for cause in causes if isinstance(cause, errors.RemoteEntryNotFoundError))
        file = str(entry.response.url.path).rpartition("/")[2]
        return f"{name}{at} holds no file {file}: is it the right repository?"
    statuses = [cause.response.status_code for cause in causes if isinstance(cause, errors.HfHubHTTPError)]
    if statuses:
        return _answered(statuses[0], kind, repository, at)
    if found(JSONDecodeError, errors.FileMetadataError):
        return (
            f"What answers in the hub's place is not the hub, so {what}{at} cannot be fetched: is it the "
            "login page of this network, or a proxy? Log in there, then run the same command again."
        )
    if (offline := _offline()) and _not_here(causes):
        return (
            f"{offline} is set, so nothing is fetched, and {what}{at} is not whole in this "
            f"machine's cache: unset {offline}, or fetch it before."
        )
    if full := next((cause for cause in causes if _number(cause) == errno.ENOSPC), None):
        return f"{name} does not fit on the disk: {full}. Make room and run the same command again."
    if found(PermissionError):
        return f"{name} cannot be written to this machine's cache: {causes[0]}."
    if _not_here(causes) or any(map(_no_connection, causes)):
        from huggingface_hub import constants

        return (
            f"The hub cannot be reached at {constants.ENDPOINT}, so {what}{at} cannot be "
            "fetched: check the connection (and HF_ENDPOINT and the proxy, where they are set), then run the "
            "same command again."
        )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from or while handling."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [each for each in (cause.__cause__, cause.__context__) if each is not None]


def _missing(kind: HubKind, repository: str, at: str) -> str:
    return (
        f"The hub has no {_CALLED[kind]} {repository}{at}, or none that you may see: check the "
        f"spelling; where it is private, {_LOGIN}."
    )


def _answered(status: int, kind: HubKind, repository: str, at: str) -> str:
    """The sentence where the hub answers with nothing but a number."""
    if status == 404:
        return _missing(kind, repository, at)
    if status in (401, 403):
        return (
            f"The hub does not let you read the {_CALLED[kind]} {repository} ({status}): {_LOGIN} with a "
            f"token that may read it, and accept its licence at {_PAGE[kind]}{repository} where it has one."
        )
    return (
        f"The hub answers with the error {status} when it is asked for the {_CALLED[kind]} {repository}{at}: "
        "run the same command again later."
    )


def _not_here(causes: list[BaseException]) -> bool:
    """Whether a file was looked for on this machine, which is done where the hub cannot be asked."""
    from huggingface_hub import errors

    kinds = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, errors.RevisionResolutionError)
    return any(isinstance(cause, kinds) for cause in causes)


def _no_connection(cause: BaseException) -> bool:
    """Whether there was no answer; the hub's client has had several libraries below it."""
    names = {base.__name__ for base in type(cause).__mro__}
    return isinstance(cause, ConnectionError | TimeoutError) or "TransportError" in names


def _number(cause: BaseException) -> int | None:
    return cause.errno if isinstance(cause, OSError) else None


def _offline() -> str | None:
    """The setting that forbids to ask the hub, where one does."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return None
    return next((name for name in _OFFLINE if os.environ.get(name)), _OFFLINE[0])
