"""Builds avatars of the cast: a compressed glTF file for each."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import yaml

from avatars import gltf
from avatars.bake import make

CAST = Path(__file__).parent / "cast.yaml"
COMPRESS = ("npx", "--yes", "@gltf-transform/cli@4.5.1")


def compress(raw: Path, out: Path) -> None:
    """Quantised and meshopt-compressed, about a tenth of the size."""
    if shutil.which(COMPRESS[0]) is None:
        raise SystemExit("Node.js is missing: `npx` compresses the avatars.")
    command = [*COMPRESS, "meshopt", str(raw), str(out), "--level", "high"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    cast = yaml.safe_load(CAST.read_text())
    parser = argparse.ArgumentParser(prog="tools/avatars/build", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(cast)}")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    arguments = parser.parse_args()
    for name in arguments.names or cast:
        if name not in cast:
            parser.error(f"{name!r} is not in {CAST}; there are {', '.join(cast)}")
        avatar = make(cast[name])
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        raw, compressed = folder / f"{name}.raw.glb", folder / f"{name}.glb"
        gltf.write(name, avatar, raw)
        compress(raw, compressed)
        raw.unlink()
        triangles = sum(len(part.triangles) for part in avatar.parts.values())
        print(f"{compressed}: {triangles} triangles, {compressed.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
