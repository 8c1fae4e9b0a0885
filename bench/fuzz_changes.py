"""How a fuzzer changes scripts: mostly messages that keep to the wire with something wrong in them, so that
what is wrong gets far; sometimes any bytes.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

BINARY = 1
"""The first byte of a line whose message is binary."""
ACT = b"!"
CHANGES = 4
"""Most changes at a time."""
FEW_LINES, MOST_LINES = 160, 200
"""Of a script."""
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 255, 65_536, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 1e308, -0.5, 0.001,
    "", " ", "x", "\0", "\ud800", "\u202eabc", "\U0001f600", "0", "A" * 300, "A" * 4001, "$LONG", "$HUGE",
    "$RESUME", "$THEIRS", "turn_1", "turn_999999999", "c1", "a", "r", "i", "QQ==", "QQ=", "QUJD",
    [], {}, [[]], [None], {"type": "text"}, json.loads("[" * 70 + "]" * 70), {"\ud800": 1}, list(range(40)),
)  # fmt: skip
"""What a field may be instead."""
BYTES = (
    b"", b"\x00", b"\x00\x00", b"\xff\x7f", b"\x1a\x45\xdf\xa3", b"RIFF", b"OggS", b"ID3", b"fLaC",
    b"\x00" * 320, b"\x10\x27\xf0\xd8" * 200, b"\xff\xff\xff\xff", b"\xa3\x85\x81", b"\x1f\x43\xb6\x75",
)  # fmt: skip
"""What may stand in a binary message."""


class Changes:
    """Knows the messages of one wire."""

    def __init__(self, seeds: Iterable[bytes], acts: Iterable[bytes] = ()) -> None:
        """`seeds` are scripts, of whose lines new ones are made; `acts` may stand anywhere."""
        self._lines = [line for seed in seeds for line in seed.split(b"\n")]
        self._acts = [*acts] or self._lines
        self._known: dict[str, list[Any]] = defaultdict(list)
        """The fields of the wire, and their values."""
        for line in self._lines:
            if (found := _object(line)) is not None:
                self._learn(found[1])

    def _learn(self, value: Any) -> None:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for each in inner:
            self._learn(each)
        if isinstance(value, dict):
            for key, each in value.items():
                self._known[key].append(each)

    def change(self, data: bytes, most: int, seed: int, bytes_: Callable[[bytes, int], bytes]) -> bytes:
        """Another script like this one, of at most `most` bytes; `bytes_` changes bytes in any way."""
        luck = random.Random(seed)
        lines = data.split(b"\n")
        while len(lines) < FEW_LINES and luck.random() < 0.98:  # a conversation costs more than a message
            self._more(lines, luck.randrange(len(lines) + 1), luck)
        for _ in range(luck.randint(1, CHANGES)):
            self._once(lines, luck, most, bytes_)
        return b"\n".join(lines[:MOST_LINES])[:most]

    def cross(self, one: bytes, other: bytes, most: int, seed: int) -> bytes:
        """The beginning of one script and the end of another, or one inside the other."""
        luck = random.Random(seed)
        first, second = one.split(b"\n"), other.split(b"\n")
        at, begin = luck.randrange(len(first) + 1), luck.randrange(len(second))
        end = luck.randint(begin, len(second))
        rest = first[at:] if luck.random() < 0.5 else []
        return b"\n".join((first[:at] + second[begin:end] + rest)[:MOST_LINES])[:most] or one[:most]

    def _once(
        self, lines: list[bytes], luck: random.Random, most: int, bytes_: Callable[[bytes, int], bytes]
    ) -> None:
        at, choice = luck.randrange(len(lines)), luck.random()
        if choice < 0.15:  # more of what is known, in its order
            self._more(lines, at, luck)
        elif choice < 0.19:
            lines.insert(at, luck.choice(self._acts))
        elif choice < 0.27:
            end = at + luck.randint(1, 8)
            lines[at:at] = lines[at:end]
        elif choice < 0.32 and len(lines) > 1:
            del lines[at : at + luck.randint(1, 4)]
            lines[:] = lines or [b""]
        elif choice < 0.36:
            other = luck.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif choice < 0.80 and (found := _object(lines[at])) is not None:
            head, message = found
            self._inside(message, luck)
            lines[at] = head + json.dumps(message).encode()
        elif choice < 0.92 and lines[at][:1] == bytes((BINARY,)):
            lines[at] = lines[at][:1] + _piece(lines[at][1:], luck)
        else:
            changed = bytes_(lines[at] or b"x", min(most, len(lines[at]) + 64))
            lines[at] = changed.replace(b"\n", b" ")

    def _more(self, lines: list[bytes], at: int, luck: random.Random) -> None:
        """Of what is known, in its order; few acts, which cost more than messages."""
        begin = luck.randrange(len(self._lines))
        known = self._lines[begin : begin + luck.randint(1, 12)]
        lines[at:at] = [line for line in known if line[:1] != ACT or luck.random() < 0.05] or known

    def _inside(self, message: dict[str, Any], luck: random.Random) -> None:
        """Something else in one field somewhere in it."""
        if not message or luck.random() < 0.1:
            key = luck.choice([*self._known])
            message[key] = luck.choice(self._known[key])
            return
        key = luck.choice([*message])
        inner, choice = message[key], luck.random()
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            inner = luck.choice([item for item in inner if isinstance(item, dict)])
        if isinstance(inner, dict) and choice < 0.75:
            self._inside(inner, luck)
        elif choice < 0.10:
            del message[key]
        elif choice < 0.45 and key in self._known:
            message[key] = luck.choice(self._known[key])
        elif choice < 0.60 and isinstance(message[key], str):
            message[key] = _text(message[key], luck)
        elif choice < 0.70 and isinstance(message[key], int | float):
            message[key] = message[key] * luck.choice((-1, 2, 10, 1000)) + luck.choice((-1, 0, 0.5, 1))
        else:
            message[key] = luck.choice(ODD)


def _object(line: bytes) -> tuple[bytes, dict[str, Any]] | None:
    """The JSON object in a line, and what stands before it."""
    head, brace, rest = line.partition(b"{")
    if not brace or len(head) > 8:
        return None
    try:
        found = json.loads(brace + rest)
    except (ValueError, RecursionError):
        return None
    return head, found


def _text(text: str, luck: random.Random) -> str:
    """A text with something changed in it."""
    at = luck.randrange(len(text) + 1)
    match luck.randrange(5):
        case 0:
            return text[:at]
        case 1:
            return text[at:]
        case 2:
            return text[:2000] * 2
        case 3:
            return text[:at] + luck.choice("\0 \ud800=/+-_.\"'%é\u2028") + text[at:]
        case _:
            return text[:at] + chr(luck.randrange(32, 127)) + text[at + 1 :]


def _piece(content: bytes, luck: random.Random) -> bytes:
    """A binary message with something changed in it."""
    at = luck.randrange(len(content) + 1)
    match luck.randrange(5):
        case 0:
            changed = content[:at]
        case 1:
            changed = content[at:]
        case 2:
            changed = content[:at] + luck.choice(BYTES) + content[at:]
        case 3:
            changed = content[:4000] * 2
        case _:
            changed = content[:at] + bytes((luck.randrange(256),)) + content[at + 1 :]
    return changed.replace(b"\n", b"\\n")
