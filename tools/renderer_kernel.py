"""Compiles the renderer's inner loops to WebAssembly: src/visavis/video/{raster,meshopt}.c -> raster.wasm.

Needs a C compiler that knows WebAssembly; the package `ziglang` brings one for every platform:

uv run --no-project --with ziglang==0.17.0 tools/renderer_kernel.py

The sources' fingerprint is written into the file, and a test compares it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src" / "visavis" / "video"
SOURCES = [FOLDER / "raster.c", FOLDER / "meshopt.c"]
OUT = FOLDER / "raster.wasm"
FLAGS = [
    *("--target=wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory+nontrapping_fptoint"),
    *("-O3", "-ffast-math", "-fno-finite-math-only", "-nostdlib", "-Wall", "-Wextra", "-Werror"),
    *("-Wl,--no-entry", "-Wl,--strip-all"),
]


def fingerprint() -> bytes:
    """A custom section of WebAssembly that names the sources."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).digest()
    content = b"\x07sources" + digest
    return bytes([0, len(content)]) + content


def main() -> None:
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    subprocess.run([*compiler, *FLAGS, "-o", str(OUT), *map(str, SOURCES)], check=True)
    OUT.write_bytes(OUT.read_bytes() + fingerprint())
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
