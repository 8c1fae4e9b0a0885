"""The door for plug-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from visavis import plugins
from visavis.errors import ConfigurationError
from visavis.settings import Settings


def test_built_in_parts_are_found_by_name() -> None:
    assert {"embedded", "scripted"} <= set(plugins.names("agents"))
    assert plugins.find("vad", "silero").__module__ == "visavis.stages.vad_silero"


def test_anybodys_function_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_parts.py").write_text("def ears(settings):\n    return settings.stages.vad\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.load("vad", "my_parts:ears", Settings()) == "silero"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("silerro", "no vad plug-in 'silerro'. Installed: .*silero"),
        ("no_such_module:load", "'no_such_module'.*check the spelling"),
        ("visavis.errors:load", "no function 'load'"),
        ("needy_parts:load", "needs the module 'no_such_library'.*pip install no_such_library"),
    ],
)
def test_a_plugin_that_is_not_there_is_explained(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy_parts.py").write_text("import no_such_library.deep\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        plugins.load("vad", name, Settings())


def test_what_a_plugin_raises_comes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "angry_parts.py").write_text("def load(settings):\n    raise OSError('disk')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OSError, match="disk"):
        plugins.load("vad", "angry_parts:load", Settings())
