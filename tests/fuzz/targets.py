"""All readers, in the order of the table."""

from __future__ import annotations

from tests.fuzz import answers, configurations, images, packed, records

TARGETS = (*records.TARGETS, *images.TARGETS, *answers.TARGETS, *packed.TARGETS, *configurations.TARGETS)
