"""Sentences to be spoken, out of ordinary packages: fortunes, manuals and generated ones.

python -m training.texts CACHE
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

TRAINED = ("en", "de", "es", "fr", "it", "pl", "zh", "ja")
HELD_OUT, ONLY_TESTED = ("pt", "cs", "ru"), ("fi", "ca", "hi")
"""Languages that are never trained on; the last have no text but that made of a few phrases."""
UNSPACED = frozenset({"zh", "ja"})
LENGTHS, UNSPACED_LENGTHS = (18, 110), (7, 45)
"""Characters of the sentences that are kept."""
TEST_EVERY = 10
"""Every tenth sentence is for tests only."""

_FORTUNES = "usr/share/games/fortunes"
_MANUALS = "usr/share/debian-reference/debian-reference.{}.txt.gz"
_NOT_ENGLISH = frozenset({"chinese", "tang300", "song100", "brasil", "art", "ascii-art"})
_SOURCES: dict[str, tuple[str, ...]] = {
    "en": (f"{_FORTUNES}/*",),
    "de": (f"{_FORTUNES}/de/*", _MANUALS.format("de")),
    "es": (f"{_FORTUNES}/es/*", f"{_FORTUNES}/*.fortunes", _MANUALS.format("es")),
    "fr": (_MANUALS.format("fr"),),
    "it": (f"{_FORTUNES}/it/*", _MANUALS.format("it")),
    "pl": (f"{_FORTUNES}/pl/*",),
    "zh": (f"{_FORTUNES}/chinese", f"{_FORTUNES}/song100", f"{_FORTUNES}/tang300", _MANUALS.format("zh-cn")),
    "ja": (_MANUALS.format("ja"),),
    "pt": (f"{_FORTUNES}/brasil", _MANUALS.format("pt")),
    "cs": (f"{_FORTUNES}/cs/*",),
    "ru": (f"{_FORTUNES}/ru/*",),
}
_LOCALES = {
    "fr": "fr_FR", "ja": "ja_JP", "pl": "pl_PL", "de": "de_DE", "es": "es_ES", "it": "it_IT",
    "en": "en_US", "zh": "zh_CN", "pt": "pt_BR", "cs": "cs_CZ", "ru": "ru_RU",
}  # fmt: skip
_FEW = frozenset({"fr", "ja"})
"""Languages with little text of their own, which get more generated sentences."""

_PHRASES = {
    "en": (
        "I|We|You|They|My mother|Bob|The boy|The people|Every visitor|Your friend",
        "can help with|would probably buy|moved|found|put away|picked up|forgot about|believe in|want to "
        "open|will bring",
        "five big boxes|a purple umbrella|the blue book|two more papers|the weather map|some fresh apples|"
        "your meeting room|a warm blanket|the phone number|whatever you wish",
        "before Monday|this evening|in the house|for my family|as soon as possible|without any problem|"
        "over there|at half past four|because of you|today",
    ),
    "fi": (
        "Minun mummoni|Poika|Meidän ystävämme|Pappa|Bussikuski|Nainen|Opettaja|Tyttö",
        "ostaa|maalaa|myy|pesee|lainaa|tuo meille|haluaa nähdä|löytää",
        "punaisen pyörän|ison omenapuun|sinisen puvun|vanhan pöydän|lämpimän leivän|uuden maton|mustan hatun|"
        "kauniin kuvan",
        "maanantaina|huomenna aamulla|kesällä mökillä|puolen päivän jälkeen|tässä kuussa|illalla puistossa",
    ),
    "ca": (
        "La meva mare|El pare|Una bona amiga|El meu poble|La Berta|En Pau|Aquest home|Tothom",
        "compra|pinta|busca|porta|menja|veu|obre|mou",
        "una poma vermella|el pa blanc|un llibre blau|la porta del bar|dues bombes|un bolígraf|la lluna "
        "plena|un plat de sopa",
        "al matí|abans de dinar|cada tarda|per la nit|a la plaça|amb molta pressa",
    ),
    "hi": (
        "मेरी माँ|मेरा भाई|पापा|राम|वह आदमी|हमारा मित्र|बूढ़ी दादी|मोहन",
        "बाज़ार में|सुबह सुबह|आज शाम को|बस में|गाँव में|बहुत प्यार से",
        "एक नीला कपड़ा|मीठे आम|पुरानी किताब|ठंडा पानी|दो फूल|बड़ा मकान|गरम चाय",
        "देखता है|माँगता है|लाया|भूल गया|पसंद करता है|बनाता है",
    ),
}
"""Language -> parts of its sentences."""


def sentences(text: str, unspaced: bool = False) -> list[str]:
    """The sentences of running text that a voice can speak: no addresses, code, tables or shouting."""
    text = re.sub(r"(?<!\n)\n(?!\n)", "" if unspaced else " ", re.sub(r"\n%+\n", "\n\n", text))
    ends = r"(?<=[.!?…。！？；])\s*" if unspaced else r"(?<=[.!?])\s+"
    kept = []
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(ends, _plain(paragraph)):
            sentence = sentence.strip(" -–—:;,")
            if _speakable(sentence, unspaced):
                kept.append(sentence)
    return kept


def split(found: Iterable[str], seed: int = 7) -> tuple[list[str], list[str]]:
    """Different sentences in a fixed random order: those to train on and those to test on."""
    ordered = sorted(set(found))
    random.Random(seed).shuffle(ordered)
    return [s for i, s in enumerate(ordered) if i % TEST_EVERY], ordered[::TEST_EVERY]


def chat(count: int, seed: int, language: str = "en") -> list[str]:
    """Sentences of the plain kind that an assistant speaks, rich in p, b and m."""
    r = random.Random(seed)
    parts = [part.split("|") for part in _PHRASES[language]]
    return [" ".join(map(r.choice, parts)) + "." for _ in range(count)]


def _plain(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", text)
    return re.sub(r"\s+", " ", re.sub(r"[_*`#|<>{}\[\]\\/\"“”„»«]", " ", text)).strip()


def _speakable(sentence: str, unspaced: bool) -> bool:
    low, high = UNSPACED_LENGTHS if unspaced else LENGTHS
    if not low <= len(sentence) <= high or re.search(r"[@=~^$%()]|http|www|\d{3}|--", sentence):
        return False
    if unspaced:
        return sum("\u3040" <= c <= "\u9fff" for c in sentence) >= 0.8 * len(sentence)
    letters = sum(c.isalpha() or c == " " for c in sentence)
    return letters >= 0.85 * len(sentence) and sum(c.isupper() for c in sentence) <= 0.2 * len(sentence)


def _files(root: Path, pattern: str) -> Iterator[Path]:
    for path in sorted(root.glob(pattern)):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".dat", ".u8"):
            yield path


def _read(path: Path, language: str) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    old = {"pl": "iso-8859-2", "cs": "iso-8859-2", "ru": "koi8-r"}.get(language, "iso-8859-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(old)


def _generated(language: str) -> list[str]:
    from faker import Faker  # type: ignore[import-not-found]

    fake = Faker(_LOCALES[language])
    fake.seed_instance(1)
    return [fake.sentence(nb_words=8) for _ in range(3000 if language in _FEW else 600)]


def _kana(found: list[str]) -> list[str]:
    # espeak reads kana only
    import pykakasi  # type: ignore[import-not-found]

    convert = pykakasi.kakasi().convert
    return ["".join(part["hira"] for part in convert(sentence)) for sentence in found]


def _pinyin(found: list[str]) -> list[str]:
    # espeak reads few characters and spells the others; syllables with tone numbers it reads
    from pypinyin import Style, lazy_pinyin  # type: ignore[import-not-found]

    marks = str.maketrans("。！？；，、：", ".!?;,,,")
    return [
        " ".join(lazy_pinyin(sentence.translate(marks), style=Style.TONE3, neutral_tone_with_five=True))
        for sentence in found
    ]


_SPELLED = {"ja": _kana, "zh": _pinyin}


def collect(root: Path) -> dict[str, list[str]]:
    """All sentences by language; `root` holds the unpacked Debian packages."""
    found: dict[str, list[str]] = {}
    for language, patterns in _SOURCES.items():
        unspaced = language in UNSPACED
        texts: list[str] = []
        for pattern in patterns:
            for path in _files(root, pattern):
                if language != "en" or (path.name not in _NOT_ENGLISH and path.suffix != ".fortunes"):
                    texts += sentences(_read(path, language), unspaced)
        texts += _generated(language)
        if language == "en":
            texts += chat(1200, 3)
        found[language] = _SPELLED[language](texts) if language in _SPELLED else texts
    for language in ONLY_TESTED:
        found[language] = chat(3000, 3, language)
    return found


def main(cache: Path) -> None:
    train, test = {}, {}
    for language, found in collect(cache / "debian").items():
        train[language], test[language] = split(found)
        print(language, len(train[language]), len(test[language]), train[language][:2])
    (cache / "texts.json").write_text(json.dumps({"train": train, "test": test}, ensure_ascii=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
