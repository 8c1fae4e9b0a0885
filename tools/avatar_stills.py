"""Draws the stills of the avatars that come with Visavis: poster.webp and thumb.webp beside each head.

.venv/bin/python tools/avatar_stills.py
"""

from __future__ import annotations

from visavis.cast import Cast
from visavis.video.renderer import Software
from visavis.video.stills import STILLS, still


def main() -> None:
    engine = Software()
    for name, head in Cast().heads.items():
        for kind in STILLS:
            path = head.with_name(f"{kind}.webp")
            path.write_bytes(still(engine, name, kind))
            print(f"{name}/{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
