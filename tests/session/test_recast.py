"""An avatar that is changed in the middle of a conversation has its own voice from the next reply on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import anyio
import pytest
from tests import shell, vtime
from tests.cascade_fakes import BRIEF, Talk, Voice, talk

from visavis import events as ev
from visavis.recording.lines import pack, unpack
from visavis.stages import Speech


class Cast(Voice):
    """Keeps which avatar has said how many clauses."""

    def __init__(self, avatar: str = "", said: list[str] | None = None) -> None:
        super().__init__()
        self.avatar, self.said = avatar, [] if said is None else said

    def of_avatar(self, avatar: str) -> Cast:
        if avatar == "broken":
            raise RuntimeError("out of memory")
        return self if avatar == "stranger" else Cast(avatar, self.said)

    def __call__(self, text: str, language: str | None = None) -> Speech:
        self.said.append(self.avatar)
        return super().__call__(text, language)


def voices(*avatars: str, between: float = 5.0) -> list[str]:
    """Who says the reply before and after each of these avatars; each is said once."""
    voice = Cast()

    async def script(it: Talk) -> None:
        await it.write("Hello")
        for avatar in avatars:
            await asyncio.sleep(between)
            await it.agent.send(ev.Recast(avatar))
        await asyncio.sleep(5)
        await it.write("Hello again")
        await asyncio.sleep(5)

    talk(script, replace(Talk().stages(), tts=voice), replace(BRIEF, avatar="mia"))
    return list(dict.fromkeys(voice.said))


def test_the_next_reply_has_the_voice_of_the_new_avatar() -> None:
    assert voices("kenji") == ["mia", "kenji"]


def test_the_last_of_several_counts() -> None:
    assert voices("kenji", "elena", between=0.0)[-1] == "elena"
    assert voices("kenji", "mia") == ["mia"]


def test_somebodys_own_head_has_the_voice_of_the_settings() -> None:
    assert voices("kenji", "stranger") == ["mia", ""]


def test_a_voice_that_cannot_be_had_leaves_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert voices("broken") == ["mia"]
    assert "no voice for the avatar" in capsys.readouterr().out


def test_the_agent_is_told_and_the_recording_too() -> None:
    async def main() -> list[ev.ToAgent]:
        puppet = shell.Puppet()
        async with shell.session(puppet) as (session, _):
            session.feed(ev.Recast("kenji"))
            await anyio.sleep(0.1)
        return puppet.heard

    assert vtime.run(main()) == [ev.Recast("kenji")]
    assert unpack(pack(ev.Recast("kenji"))) == ev.Recast("kenji")
