"""No chatter of the libraries below reaches the user."""

from __future__ import annotations

import importlib
import logging
import os
import warnings

CHATTER = (
    ".*LeafSpec.* is deprecated",
    ".*is smaller than the logging interval",
    ".*does not have many workers",
    ".*Experiment logs directory .* exists and is not empty",
    ".*module\\(s\\) in eval mode at the start of training",
    "You have overridden `transfer_batch_to_device` in `LightningModule`",
    ".*self.log\\('(val|test)/.*sync_dist=True",  # the metric has gathered all processes already
    "The dirpath has changed from",  # a checkpoint is tested in a run folder of its own
    "Couldn't infer the batch indices",  # predictions carry their question's id
    "Trying to infer the `batch_size` from an ambiguous collection",  # the records beside the tensors
    "Grad strides do not match bucket view strides",
    ".*Checkpoint directory .* exists and is not empty",
    "Total length of `list` across ranks is zero",  # no validation split: the start card says so
    "Be aware that when using `ckpt_path`, callbacks",  # those that a run with fast_dev_run has not
    "`is_gradient_checkpointing` is deprecated",  # peft asks transformers for it
)
"""Warnings of the libraries about things that are meant here."""


class _Printed(logging.Handler):
    """Prints what is logged, to whatever is the standard output then."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def quiet_libraries() -> None:
    """Silence what a user of this project cannot act on; before torch is imported."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    importlib.import_module("lightning.pytorch")  # sets its own level of logging, which comes before ours
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # What a profiler has seen is only logged, and was asked for.
    profiles = logging.getLogger("lightning.pytorch.profilers")
    profiles.setLevel(logging.INFO)
    profiles.handlers, profiles.propagate = [_Printed()], False
    # It suggests a package that speeds 4-bit products up, also where there are none.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # Its table of missing weights comes before our sentence on them.
    logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
    # That a sentence encoder is not divided among several devices.
    logging.getLogger("transformers.distributed.tensor_parallel").setLevel(logging.ERROR)
    for message in CHATTER:
        warnings.filterwarnings("ignore", message=message)
