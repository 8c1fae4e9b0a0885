"""Text out of Markdown, HTML and PDF, and out of nothing that is none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.knowledge.pdf import pdf

from visavis.knowledge import texts
from visavis.knowledge.chunks import Document, cut
from visavis.knowledge.texts import Unreadable, kind_of, read

DATA = Path(__file__).parent.parent / "data" / "knowledge"


def test_a_page_is_what_its_reader_reads() -> None:
    (page,) = read((DATA / "museum.html").read_bytes(), "html", "museum.html", "https://clocks.example/")
    assert (page.title, page.url) == ("Museum of Clocks", "https://clocks.example/")
    for unseen in ("moon is", "color", "Home", "cookies", "free on the moon"):
        assert unseen not in page.text
    passages = {chunk.heading: chunk.text for chunk in cut(page)}
    admission = passages["Museum of Clocks: Admission"]
    assert (
        admission
        == "Visitor, Price\nAdults, 9 euros\nStudents and pensioners, 6 euros\nChildren below fourteen, free"
    )
    assert "until half past four" in passages["Museum of Clocks: Café"]


def test_markdown_is_called_by_its_first_heading() -> None:
    assert read(b"\xef\xbb\xbf# **Shop**\n\nBread.", "text", "shop.md") == [
        Document("Shop", "# **Shop**\n\nBread.")
    ]
    assert read(b"Bread.", "text", "shop.txt")[0].title == "shop.txt"


def test_pages_of_a_pdf_are_named() -> None:
    pages = read(
        pdf("Opening hours\n8 to 18", " ", "Jobs", title="Our shop"), "pdf", "s.pdf", "https://x/s.pdf"
    )
    assert [(page.title, page.url) for page in pages] == [
        ("Our shop, page 1", "https://x/s.pdf#page=1"),
        ("Our shop, page 3", "https://x/s.pdf#page=3"),
    ]
    assert pages[0].text.split("\n")[:2] == ["Opening hours", "8 to 18"]


def test_other_character_sets_are_those_that_the_page_names() -> None:
    html = "<meta charset='iso-8859-2'><p>Zażółć gęślą jaźń".encode("iso-8859-2")
    assert "Zażółć gęślą jaźń" in read(html, "html", "p")[0].text
    assert "żółw" in read("żółw".encode("cp1250"), "text", "p", charset="cp1250")[0].text


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"PK\x03\x04\0\0\0", "text", "is not a text file"),
        ("żółw".encode("cp1250"), "text", "save it as UTF-8"),
        (b"<meta charset=klingon>", "html", "klingon"),
        (b"%PDF-1.4 garbage", "pdf", "no PDF that can be read"),
        (pdf("Hello")[:200], "pdf", "no PDF that can be read"),
        (b"", "pdf", "no PDF that can be read"),
        (pdf(" "), "pdf", "pictures"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, kind: texts.Kind, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(content, kind, "thing")


def test_a_pdf_cut_anywhere_is_read_or_refused() -> None:
    whole = pdf("Opening hours", "Prices")
    for end in range(0, len(whole), 37):
        try:
            read(whole[:end] + b"\xff" * 20, "pdf", "cut.pdf")
        except Unreadable as error:
            assert str(error)


def test_a_page_made_to_be_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**9))
    page = texts._Page(1000, lambda: float(next(ticks)))
    with pytest.raises(Unreadable, match="too complicated"):
        page.feed_all("<p>x" * 2000)


def test_deep_nesting_and_unclosed_tags_are_no_matter() -> None:
    (page,) = read(b"<div>" * 50_000 + b"deep" + b"<b" * 10, "html", "p")
    assert page.text.strip().startswith("deep")


def test_a_long_text_is_bounded() -> None:
    (page,) = read(b"<p>" + b"word " * 2_000_000, "html", "p")
    assert len(page.text) <= texts.LONGEST


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.MD", "", "text"),
        ("a.pdf", "text/html; charset=utf-8", "html"),
        ("a", "application/pdf", "pdf"),
        ("a", "text/markdown", "text"),
        ("a.exe", "", None),
        ("a", "application/octet-stream", None),
        ("a.pdf", "application/octet-stream", "pdf"),
    ],
)
def test_the_kind_of_a_document(name: str, media_type: str, kind: str | None) -> None:
    assert kind_of(name, media_type) == kind
