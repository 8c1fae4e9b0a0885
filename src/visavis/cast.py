"""Whose face it can be: the people who come with Visavis, and a head of one's own."""

from __future__ import annotations

import re
from pathlib import Path

DEFAULT = "mia"
FORMER_DEFAULT = "default-01"
"""What pages of the page dialect call the avatar of a server that has one only."""
NAME = 40
"""Letters of the longest name."""
FOLDER = Path(__file__).parent / "avatars"


def built_in(avatar: str = DEFAULT) -> Path:
    """The file of one of the package's own heads."""
    return FOLDER / avatar / f"{avatar}.glb"


class Cast:
    """The avatars by name.

    `chosen`, the setting `avatar`, is who is shown unless somebody else is asked for: one of the package's,
    or the path of a `.glb`, which goes by the letters and digits of its name. Raises `ValueError` when there
    is no such head.
    """

    def __init__(self, chosen: str = DEFAULT) -> None:
        self.heads = {path.parent.name: path for path in sorted(FOLDER.glob("*/*.glb"))}
        """The files of the heads."""
        self.first = DEFAULT if chosen == FORMER_DEFAULT else chosen
        self.own: Path | None = None
        """The head that does not come with Visavis."""
        if chosen.lower().endswith(".glb"):
            self.own = Path(chosen).expanduser()
            self.first = re.sub(r"[^a-z0-9]", "", self.own.stem.lower())[:NAME] or "own"
            if not self.own.is_file():
                raise ValueError(f"expected a file that is there; there is no {chosen}")
            self.heads[self.first] = self.own
        if self.first not in self.heads:
            raise ValueError(f"expected one of {', '.join(self.heads)}, or the path of a .glb file")

    def __contains__(self, name: str) -> bool:
        return name in self.heads

    def drawn(self, name: str) -> str | Path:
        """How a renderer is asked for this avatar."""
        return self.own if self.own is not None and name == self.first else name
