"""Times and dates in Polish words, as they are said aloud."""

from __future__ import annotations

from datetime import datetime

_CARDINALS = (
    "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście trzynaście "
    "czternaście piętnaście szesnaście siedemnaście osiemnaście dziewiętnaście"
).split()
_TENS = "dwadzieścia trzydzieści czterdzieści pięćdziesiąt".split()
_ORDINALS = (
    "zerowy pierwszy drugi trzeci czwarty piąty szósty siódmy ósmy dziewiąty dziesiąty jedenasty dwunasty "
    "trzynasty czternasty piętnasty szesnasty siedemnasty osiemnasty dziewiętnasty"
).split()
_ORDINAL_TENS = (
    "dwudziesty trzydziesty czterdziesty pięćdziesiąty sześćdziesiąty siedemdziesiąty osiemdziesiąty "
    "dziewięćdziesiąty"
).split()
_MONTHS = (
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia"
).split()
_WEEKDAYS = "poniedziałek wtorek środa czwartek piątek sobota niedziela".split()


def polish_clock(now: datetime) -> dict[str, str]:
    """What prepared replies may say of the time."""
    return {"time": spoken_time(now), "date": spoken_date(now), "weekday": _WEEKDAYS[now.weekday()]}


def spoken_time(now: datetime) -> str:
    """The time of day: "czternasta trzydzieści", "dziewiąta zero pięć", "dwunasta w nocy"."""
    hour = " ".join(_feminine(word) for word in _ordinal(now.hour or 12))
    minutes = f"{'zero ' if now.minute < 10 else ''}{_cardinal(now.minute)}" if now.minute else ""
    return f"{hour} {minutes}".strip() + (" w nocy" if now.hour == 0 else "")


def spoken_date(now: datetime) -> str:
    """The date: "dwudziesty pierwszy listopada dwa tysiące dwudziestego szóstego roku" (2001 to 2099)."""
    year = " ".join(_genitive(word) for word in _ordinal(now.year % 100))
    return f"{' '.join(_ordinal(now.day))} {_MONTHS[now.month - 1]} dwa tysiące {year} roku"


def _cardinal(number: int) -> str:
    """0 to 59."""
    if number < 20:
        return _CARDINALS[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_CARDINALS[ones]}" if ones else "")


def _ordinal(number: int) -> list[str]:
    """The words of 1 to 99, masculine: every one of them is declined."""
    if number < 20:
        return [_ORDINALS[number]]
    tens, ones = divmod(number, 10)
    return [_ORDINAL_TENS[tens - 2], *([_ORDINALS[ones]] if ones else [])]


def _feminine(ordinal: str) -> str:
    return (ordinal if ordinal.endswith("ci") else ordinal[:-1]) + "a"


def _genitive(ordinal: str) -> str:
    return (ordinal if ordinal.endswith("i") else ordinal[:-1]) + "ego"
