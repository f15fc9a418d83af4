"""Where a model's files are: in a folder, or on the hub at a revision, one commit for a whole run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datamodules.samples import why_not_fetched
from lightning_modules.base import ModelError
from lightning_modules.weights_digest import model_digest

CONFIG = "config.json"


@dataclass(frozen=True)
class ModelSource:
    """A model's folder, or its repository.

    Attributes:
        place: the folder, or `owner/name` on the hub.
        revision: the branch, tag or commit that was asked for; None for the main branch, and for folders.
    """

    place: str
    revision: str | None = None

    def __str__(self) -> str:
        """As it is asked for."""
        return self.place if self.revision is None else f"{self.place}@{self.revision}"

    @property
    def is_folder(self) -> bool:
        """Whether it is on this machine."""
        return Path(self.place).is_dir()

    def commit(self) -> str | None:
        """The commit that the hub resolves the revision to, the same in the whole process; None for folders.

        Configuration, processor and weights are all taken from this commit, also where the branch has moved
        on between two of them.

        Raises:
            ModelError: the hub has no such model or revision, does not give it, or cannot be reached.
        """
        if self.is_folder:
            return None
        from huggingface_hub import constants

        try:
            return _commit(self.place, self.revision, constants.ENDPOINT, constants.HF_HUB_CACHE)
        except (OSError, ValueError, RuntimeError) as error:
            raise self.unavailable(error) from error
        except Exception as error:
            # The hub's own errors have no base in common.
            if why_not_fetched(error, "model", self.place, self.revision) is None:
                raise
            raise self.unavailable(error) from error

    def origin(self) -> str:
        """The commit, or for a folder the digest of its files.

        Raises:
            ModelError: see `commit`.
        """
        return self.commit() or model_digest(Path(self.place))

    def unavailable(self, error: Exception) -> ModelError:
        """The error where its files cannot be had."""
        if self.is_folder:
            return ModelError(f"The model in the folder {self.place} cannot be loaded: {first_line(error)}")
        reason = why_not_fetched(error, "model", self.place, self.revision)
        at = "" if self.revision is None else f" --revision {self.revision}"
        return ModelError(
            f"{reason or f'The model {self} cannot be loaded: {first_line(error)}'} Or fetch it elsewhere "
            f"with `hf download {self.place}{at}` and give its folder as `model`; or run its tiny random "
            "model with `random_weights: true`."
        )


def source_of(name: str) -> ModelSource:
    """Read `/folder`, `owner/name` or `owner/name@revision`; a folder may have an @ in its name.

    Raises:
        ModelError: a part of the name is empty, or a folder is asked for at a revision.
    """
    if Path(name).is_dir():
        return ModelSource(name)
    place, at, revision = name.partition("@")
    if at and not (place and revision):
        raise ModelError(f"{name!r} names no model: give owner/name@revision, owner/name or a folder.")
    if at and Path(place).is_dir():
        raise ModelError(
            f"{place} is a folder here, which has no revisions: give {place} alone, or run from another "
            f"folder to fetch {name} from the hub."
        )
    return ModelSource(place, revision or None)


def first_line(error: BaseException) -> str:
    """What an error says, without the details that libraries add below."""
    return str(error).strip().partition("\n")[0]


@cache
def _commit(place: str, revision: str | None, endpoint: str, cache_folder: str) -> str:
    """The commit of a revision, asked for once; its configuration is fetched to see that it may be read."""
    from huggingface_hub import HfApi, hf_hub_download

    commit: str = HfApi().resolve_revision(place, revision=revision).resolved
    hf_hub_download(place, CONFIG, revision=commit)
    return commit
