"""The setting `avatar`."""

from __future__ import annotations

from pathlib import Path

import pytest

from visavis.configuration import load_settings
from visavis.errors import ConfigurationError


@pytest.mark.parametrize("name", ["mia", "kenji"])
def test_any_of_the_cast_can_be_chosen(name: str, tmp_path: Path) -> None:
    assert load_settings({}, None, {"VISAVIS_AVATAR": name}, tmp_path).avatar == name


@pytest.mark.parametrize("name", ["nobody", "", "../mia", "Mia"])
def test_anybody_else_stops_the_start(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"avatar.*expected one of amara, daniel, elena"):
        load_settings({"avatar": name}, None, {}, tmp_path)
