"""Writes the tables of settings in docs/agents.md from the code: `python tools/settings_tables.py`.

A table stands between `<!-- settings: SECTION ... -->` and `<!-- end of settings -->`. What a setting is, its
docstring says; settings without one are in docs/configuration.md.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from visavis import settings as code
from visavis.configuration import ALIASES, variable
from visavis.settings import Section, Settings

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "agents.md"
BLOCK = re.compile(r"(<!-- settings: (?P<sections>[a-z_ ]+) -->\n)(.*?)(<!-- end of settings -->)", re.DOTALL)


def written(document: str) -> str:
    """`document` with its tables as the code has them today."""
    told = _told()

    def table(block: re.Match[str]) -> str:
        head = "| setting | default | variable | what it is |\n|---|---|---|---|\n"
        rows = (row for name in block["sections"].split() for row in _rows(name, told))
        return f"{block[1]}{head}{''.join(rows)}{block[4]}"

    return BLOCK.sub(table, document)


def _rows(section: str, told: dict[tuple[str, str], str]) -> list[str]:
    kind = Settings.model_fields[section].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    rows = []
    for name, field in kind.model_fields.items():
        key = f"{section}.{name}"
        names = [alias for alias, meant in ALIASES.items() if meant == key] or [variable(key)]
        default = field.get_default(call_default_factory=True)
        shown = (
            "" if default in (PydanticUndefined, "", None, ()) or isinstance(default, SecretStr) else default
        )
        what = told.get((kind.__name__, name), "")
        rows.append(f"| `{key}` | {f'`{shown}`' if shown != '' else ''} | `{names[0]}` | {what} |\n")
    return rows


def _told() -> dict[tuple[str, str], str]:
    """What the code says of each setting: (class, field) -> the sentences below it."""
    files = (file for folder in code.__path__ for file in sorted(Path(folder).glob("*.py")))
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    found = {}
    for kind in (node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, below in zip(kind.body, kind.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = ast.get_docstring(ast.Module([below], [])) if isinstance(below, ast.Expr) else None
                if text:
                    found[kind.name, field.target.id] = " ".join(text.split())
    return found


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
