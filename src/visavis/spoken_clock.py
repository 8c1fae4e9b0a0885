"""Times and dates in English words, as they are said aloud."""

from __future__ import annotations

from datetime import datetime

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_MONTHS = ("January February March April May June July August September October November December").split()
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
_ORDINALS |= {"nine": "ninth", "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}


def spoken_number(number: int) -> str:
    """A number from 0 to 99."""
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def spoken_time(now: datetime) -> str:
    """The time of day: "ten o'clock in the morning", "seven thirty in the evening"."""
    hour = spoken_number(now.hour % 12 or 12)
    minutes = "o'clock" if now.minute == 0 else spoken_number(now.minute)
    part = "in the morning" if now.hour < 12 else "in the afternoon" if now.hour < 18 else "in the evening"
    return f"{hour} {'oh ' if 0 < now.minute < 10 else ''}{minutes} {part}"


def spoken_date(now: datetime) -> str:
    """The date: "November the twenty-first, twenty twenty-six"."""
    head, dash, last = spoken_number(now.day).rpartition("-")
    day = head + dash + _ORDINALS.get(last, f"{last}th")
    century, year = map(spoken_number, divmod(now.year, 100))
    return f"{_MONTHS[now.month - 1]} the {day}, {century} {year}"


def english_clock(now: datetime) -> dict[str, str]:
    """What prepared replies may say of the time."""
    return {"time": spoken_time(now), "date": spoken_date(now), "weekday": f"{now:%A}"}
