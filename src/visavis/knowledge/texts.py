"""The text of Markdown, plain text, HTML and PDF, with Markdown's headings, whatever it was."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import PurePath
from typing import Literal

from visavis.errors import VisavisError
from visavis.knowledge.chunks import Document, plain

Kind = Literal["text", "html", "pdf"]
ENDINGS: dict[str, Kind] = {
    ".md": "text",
    ".markdown": "text",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
}
"""What is read, by the ending of its name."""
LONGEST = 5_000_000
"""Characters of one document."""
PATIENCE = 20.0
"""Seconds that one document may take."""

_SKIPPED = {"script", "style", "nav", "footer", "template", "noscript", "svg", "iframe"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS = {
    "p",
    "div",
    "section",
    "article",
    "main",
    "br",
    "tr",
    "ul",
    "ol",
    "dl",
    "table",
    "blockquote",
    "figure",
}
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?([\w-]{1,40})""", re.I)
_TITLE = re.compile(r"^#\s+(.+)$", re.M)


class Unreadable(VisavisError):
    """A document that no text can be taken from; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__("KNOWLEDGE_UNREADABLE", message)


def kind_of(name: str, media_type: str = "") -> Kind | None:
    """What a file or an answer holds, by its media type if there is one, else by its name."""
    media = media_type.partition(";")[0].strip().lower()
    if media in ("text/html", "application/xhtml+xml"):
        return "html"
    if media == "application/pdf":
        return "pdf"
    return ENDINGS.get(PurePath(name).suffix.lower()) or ("text" if media.startswith("text/") else None)


def read(content: bytes, kind: Kind, name: str, url: str = "", charset: str = "") -> list[Document]:
    """The documents in `content`: one, or one a page for PDF. `name` is its title unless it has its own.

    Raises `Unreadable`. Blocking.
    """
    if kind == "pdf":
        return _pdf(content, name, url)
    if kind == "html":
        found = charset or (match[1].decode() if (match := _CHARSET.search(content[:2048])) else "")
        page = _Page(time.monotonic() + PATIENCE)
        page.feed_all(_decoded(content, found or "utf-8", name))
        return [Document(" ".join(page.title.split()) or name, page.text[:LONGEST], url)]
    text = _decoded(content, charset or "utf-8", name)[:LONGEST]
    heading = _TITLE.search(text)
    return [Document((plain(heading[1]) if heading else "") or name, text, url)]


def _decoded(content: bytes, charset: str, name: str) -> str:
    if b"\0" in content[:4096]:
        raise Unreadable(f"{name} is not a text file.")
    try:
        return content.decode("utf-8-sig" if charset.lower() in ("utf-8", "utf8") else charset)
    except (UnicodeDecodeError, LookupError):
        raise Unreadable(f"{name} is not {charset} text; save it as UTF-8.") from None


class _Page(HTMLParser):
    """Collects what a reader of the page would read."""

    def __init__(self, until: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self._until, self._clock = until, clock
        self._out: list[str] = []
        self._size = 0
        self._skipped: list[str] = []
        self._in_title = False

    @property
    def text(self) -> str:
        lines = ("".join(self._out)).split("\n")
        return "\n".join(" ".join(line.split()) for line in lines)

    def feed_all(self, html: str) -> None:
        try:
            self.feed(html)
            self.close()
        except AssertionError:
            raise Unreadable("The page is not HTML that can be read.") from None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check()
        if tag in _SKIPPED:
            self._skipped.append(tag)
        elif self._skipped:
            return
        elif tag == "title":
            self._in_title = True
        elif tag in _HEADINGS:
            self._write(f"\n\n{'#' * int(tag[1])} ")
        elif tag in ("li", "dt"):
            self._write("\n- ")
        elif tag in ("td", "th"):
            self._write(" | ")
        elif tag == "tr":
            self._write("\n\n| ")
        elif tag in _BLOCKS:
            self._write("\n\n")

    def handle_endtag(self, tag: str) -> None:
        self._check()
        if tag in self._skipped:
            while self._skipped.pop() != tag:
                pass
        elif tag == "title":
            self._in_title = False
        elif not self._skipped and tag in _BLOCKS | _HEADINGS:
            self._write("\n\n")

    def handle_data(self, data: str) -> None:
        self._check()
        if self._in_title:
            self.title = (self.title + data)[:200]
        elif not self._skipped:
            self._write(" ".join(data.split("\n")))

    def _write(self, text: str) -> None:
        if self._size < LONGEST:
            self._out.append(text)
            self._size += len(text)

    def _check(self) -> None:
        """Python's parser takes very long for some pages that are made to be slow."""
        if self._clock() > self._until:
            raise Unreadable("The page is too complicated to be read.")


def _pdf(content: bytes, name: str, url: str) -> list[Document]:
    """One document a page, so that a source can name it."""
    from pypdf import PdfReader  # here, because it takes a while to import
    from pypdf.errors import PdfReadError

    until = time.monotonic() + PATIENCE
    pages: list[Document] = []
    size = 0
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(f"{name} is protected by a password; save it without one.")
        title = (reader.metadata.title if reader.metadata else None) or name
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text()
            size += len(text)
            if size > LONGEST or time.monotonic() > until:
                raise Unreadable(f"{name} is too long: only its first {number - 1} pages could be read.")
            if text.strip():
                at = f"{url}#page={number}" if url else ""
                pages.append(Document(f"{' '.join(title.split())[:200]}, page {number}", text, at))
    except Unreadable:
        raise
    except Exception as error:
        # A broken file makes the parser fail in every way there is.
        kind = "broken" if isinstance(error, PdfReadError) else f"broken ({type(error).__name__})"
        raise Unreadable(f"{name} is no PDF that can be read: it is {kind}.") from error
    if not pages:
        raise Unreadable(f"{name} has no text: its pages are pictures. Run text recognition on it first.")
    return pages
