"""What a reader of an HTML page reads."""

from __future__ import annotations

from html.parser import HTMLParser

NOT_READ = ("style", "svg", "pre")


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._within = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within += tag in NOT_READ

    def handle_endtag(self, tag: str) -> None:
        self._within -= tag in NOT_READ

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not self._within:
            self.texts.append(text)


def page_texts(page: str) -> list[str]:
    """The texts of a page one after the other, without drawings and preformatted text."""
    parser = _Texts()
    parser.feed(page)
    return parser.texts
