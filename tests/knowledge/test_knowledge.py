"""A library: what it finds, how it follows its source, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from structlog.testing import capture_logs
from tests.knowledge.pdf import pdf

from visavis.knowledge import knowledge as module
from visavis.knowledge.chunks import Document, cut
from visavis.knowledge.index import Embed, Index, stems, units
from visavis.knowledge.knowledge import Knowledge, load
from visavis.knowledge.sources import open_source
from visavis.settings import KnowledgeSettings, Settings

DATA = Path(__file__).parent.parent / "data" / "knowledge"


def embed(text: str) -> NDArray[np.float32]:
    """Texts with the same words are alike."""
    vector = np.zeros(256, np.float32)
    for stem in stems(text):
        vector[hash_of(stem)] += 1
    return vector / max(1.0, float(np.linalg.norm(vector)))


def hash_of(text: str) -> int:
    return sum(byte * (place + 1) for place, byte in enumerate(text.encode())) % 256


class Counted:
    """Counts what is embedded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> NDArray[np.float32]:
        self.texts.append(text)
        return embed(text)


@pytest.fixture
def library(tmp_path: Path) -> Callable[..., Knowledge]:
    def make(source: Path, embed: Embed = embed, **settings: Any) -> Knowledge:
        chosen = KnowledgeSettings(source=str(source), **settings)
        return Knowledge(open_source(chosen), embed, tmp_path / "cache", chosen)

    return make


def titles(knowledge: Knowledge, question: str) -> list[str]:
    return [source.title for source in knowledge.search(question)]


def test_a_question_finds_its_passage(library: Callable[..., Knowledge]) -> None:
    knowledge = library(DATA / "bakery.md")
    assert not knowledge.search("What are your opening hours?")
    knowledge.refresh()
    (first, *_) = knowledge.search("What are your opening hours?")
    assert first.title == "Bakery Morgenrot: Opening hours"
    assert first.excerpt.startswith("Monday to Friday: 6:30 to 18:00\n")
    assert not knowledge.search("Goodbye!")
    assert knowledge.status() == {"documents": 1, "passages": 8, "warnings": [], "problems": []}


def test_only_a_short_library_is_told_as_a_whole(library: Callable[..., Knowledge]) -> None:
    for characters, told in ((4000, True), (500, False)):
        knowledge = library(DATA / "bakery.md", whole_characters=characters)
        knowledge.refresh()
        assert bool(knowledge.whole) is told
    assert "Sunday and public holidays: closed" in library_whole(library)


def library_whole(library: Callable[..., Knowledge]) -> str:
    knowledge = library(DATA / "bakery.md")
    knowledge.refresh()
    return knowledge.whole


def test_what_changes_is_found_and_what_is_gone_is_not(
    library: Callable[..., Knowledge], tmp_path: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "hours.md").write_text("# Opening hours\nWe are open from 8 to 18.")
    knowledge = library(folder)
    knowledge.refresh()
    (folder / "parking.md").write_text("# Parking\nCars are parked behind the house.")
    assert not knowledge.search("Where is the parking?")
    knowledge.refresh()
    assert titles(knowledge, "Where is the parking?") == ["Parking"]
    (folder / "parking.md").unlink()
    knowledge.refresh()
    assert not knowledge.search("Where is the parking?")


def test_what_was_read_stays_when_the_source_fails_and_a_person_is_told_once(
    library: Callable[..., Knowledge], tmp_path: Path
) -> None:
    file = tmp_path / "hours.md"
    file.write_text("# Opening hours\nWe are open from 8 to 18.")
    knowledge = library(file)
    knowledge.refresh()
    file.unlink()
    with capture_logs() as logs:
        knowledge.refresh()
        knowledge.refresh()
    assert [entry["log_level"] for entry in logs] == ["warning"]
    (problem,) = knowledge.status()["problems"]
    assert "hours.md cannot be read" in problem
    assert "What was read before is still used" in problem
    assert titles(knowledge, "What are the opening hours?") == ["Opening hours"]
    file.write_text("# Opening hours\nWe are always open.")
    knowledge.refresh()
    assert knowledge.status()["problems"] == []
    assert "always" in knowledge.search("What are the opening hours?")[0].excerpt


def test_one_broken_file_leaves_the_others(library: Callable[..., Knowledge], tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (folder / "prices.pdf").write_bytes(pdf("Prices\nA ticket costs 9 euros."))
    knowledge = library(folder)
    knowledge.refresh()
    assert titles(knowledge, "A ticket costs how much?") == ["prices.pdf, page 1"]
    status = knowledge.status()
    assert status["problems"] == []
    assert "broken.pdf" in status["warnings"][0]


def test_nothing_but_broken_files_is_a_problem(library: Callable[..., Knowledge], tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    knowledge = library(tmp_path / "broken.pdf")
    knowledge.refresh()
    assert "broken.pdf" in knowledge.status()["problems"][0]


def test_an_unexpected_error_is_a_problem_too(
    library: Callable[..., Knowledge], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> NDArray[np.float32]:
        raise RuntimeError("secret")

    knowledge = library(DATA / "bakery.md", fail)
    with capture_logs():
        knowledge.refresh()
    assert "RuntimeError" in knowledge.status()["problems"][0]


def test_the_same_text_is_embedded_once_and_a_pdf_taken_apart_once(
    library: Callable[..., Knowledge], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prices.pdf"
    file.write_bytes(pdf("A ticket costs 9 euros.", "Dogs are welcome."))
    first, second = Counted(), Counted()
    library(file, first).refresh()
    assert len(first.texts) == 2

    def fail(*arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(module, "read", fail)
    again = library(file, second)
    again.refresh()
    assert second.texts == []
    assert titles(again, "Are dogs welcome?") == ["prices.pdf, page 2"]


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    settings = KnowledgeSettings(source=str(DATA / "bakery.md"))
    knowledge = Knowledge(open_source(settings), embed, tmp_path / "cache", settings)
    with capture_logs() as logs:
        knowledge.refresh()
    assert "cannot be cached" in logs[0]["event"]
    assert knowledge.search("What are your opening hours?")


def test_too_much_text_is_left_out(
    library: Callable[..., Knowledge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNITS", 20)
    knowledge = library(DATA)
    knowledge.refresh()
    status = knowledge.status()
    assert 0 < status["passages"] < 10
    assert "too much text" in status["warnings"][-1]


def test_passages_far_behind_the_best_one_are_not_told() -> None:
    chunks = list(cut(Document("d", "# Tickets\nA ticket costs nine euros.\n# Dogs\nDogs cost nothing.")))
    index = Index(chunks, np.stack([embed(unit) for unit in units(chunks)]), embed, sure=0.0)
    assert [hit.chunk.heading for hit in index.search("A ticket costs how many euros?", 5)] == ["Tickets"]


def test_a_short_question_may_be_about_what_was_said_before() -> None:
    text = "# Tickets\nA ticket costs nine euros.\n# Dogs\nDogs cost nothing, cats neither."
    chunks = list(cut(Document("d", text)))
    index = Index(chunks, np.stack([embed(unit) for unit in units(chunks)]), embed, sure=0.2)

    def first(question: str, *before: str) -> str:
        return next((hit.chunk.heading for hit in index.search(question, 5, before)), "")

    assert first("How so?") == ""
    assert first("How so?", "Dogs, cats?") == "Dogs"
    assert first("How so?", "Tickets?", "Dogs, cats?") == "Dogs"
    assert first("How so?", "Dogs, cats?", "Okay.") == "Dogs"  # which is nothing to go on with
    assert first("How so?", "Dogs, cats?", "Tell about something else entirely.") == ""
    assert first("How so.", "Dogs, cats?") == ""  # no question
    assert first("How much is a ticket then?", "Dogs, cats?") == "Tickets"


# -- the real encoder ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Knowledge:
    source = {"source": str(DATA), "cache": str(tmp_path_factory.mktemp("cache"))}
    knowledge = load(Settings.model_validate({"knowledge": source}))
    assert knowledge is not None
    return knowledge


@pytest.mark.models
def test_most_questions_find_their_passage_and_small_talk_finds_none(real: Knowledge) -> None:
    questions = yaml.safe_load((DATA / "questions.yaml").read_text())
    small_talk = questions.pop("-")
    found = {
        (heading, question): [title.rpartition(": ")[2] for title in titles(real, question)]
        for heading, asked in questions.items()
        for question in asked
    }
    first = sum(hits[:1] == [heading] for (heading, _), hits in found.items())
    among = sum(heading in hits for (heading, _), hits in found.items())
    assert first >= 0.9 * len(found), [asked for asked, hits in found.items() if hits[:1] != [asked[0]]]
    assert among >= 0.95 * len(found), [asked for asked, hits in found.items() if asked[0] not in hits]
    assert [question for question in small_talk if real.search(question)] == []


@pytest.mark.models
def test_most_questions_that_go_on_with_another_find_their_passage(real: Knowledge) -> None:
    rows: list[list[str]] = yaml.safe_load((DATA / "follow_ups.yaml").read_text())
    talk = [row for row in rows if row[2] == "-"]
    asked = [row for row in rows if row[2] != "-"]

    def right(looks_back: bool) -> float:
        """The share whose first passage is the right one."""
        hits = [real.search(question, [first] * looks_back)[:1] for first, question, _ in asked]
        found = [hit[0].title.rpartition(": ")[2] if hit else "" for hit in hits]
        return sum(title == row[2] for title, row in zip(found, asked, strict=True)) / len(asked)

    alone, together = right(False), right(True)
    assert alone < 0.65
    assert together > 0.8
    assert [question for first, question, _ in talk if real.search(question, [first])] == []


@pytest.mark.models
def test_polish_questions_find_their_passage_among_three(tmp_path: Path) -> None:
    folder = DATA.with_name("knowledge_pl")
    knowledge = load(
        Settings.model_validate(
            {
                "assistant": {"language": "pl"},
                "knowledge": {"source": str(folder / "piekarnia.md"), "cache": str(tmp_path)},
            }
        )
    )
    assert knowledge is not None
    questions = yaml.safe_load((folder / "questions.yaml").read_text())
    small_talk = questions.pop("-")
    asked = [(heading, question) for heading, those in questions.items() for question in those]
    missed = [q for heading, q in asked if not any(heading in title for title in titles(knowledge, q))]
    assert len(missed) <= 0.16 * len(asked), missed
    assert sum(bool(knowledge.search(remark)) for remark in small_talk) <= 0.1 * len(small_talk)


def test_without_a_source_there_is_no_library() -> None:
    assert load(Settings()) is None
