"""Pages from templates: all in one style, and with everything in them escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

STYLES = Path(__file__).parent
"""Where the style of all pages lies."""


def rendered(template: Path, filters: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """A page.

    Args:
        template: its template, which may include what lies beside it and the style of all pages.
        filters: what the template calls by name.
        content: what it shows; a name that it does not find here is an error.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(content)
