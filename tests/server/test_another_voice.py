"""Whose voice it is can change in the middle of a conversation over `/ws`."""

from __future__ import annotations

from tests import vtime
from tests.chaos.house import Guest, house
from tests.chaos.party import SETTINGS
from tests.shell import Puppet

from visavis import events as ev
from visavis.settings import Settings


def voices(*greetings: str | None, resume: str | None = None) -> list[str]:
    """What the agent hears of avatars when a client greets so after its first words, and once more with
    `resume` when its line was cut."""
    puppet = Puppet()

    async def main() -> None:
        async with house(Settings.model_validate(SETTINGS), agent=puppet) as app:
            guest = Guest(app)
            config = await guest.until("config")
            guest.say(type="hello", avatar="elena")
            guest.say(type="text", data="Hello!")
            for avatar in greetings:
                guest.say(type="hello", **({} if avatar is None else {"avatar": avatar}))
            guest.say(type="ping")
            await guest.until("pong")
            if resume is not None:
                await guest.leave(1006)
                async with Guest(app) as again:
                    again.say(type="hello", resume=config["resume"], avatar=resume)
                    again.say(type="ping")
                    await again.until("pong")
            await guest.leave()

    vtime.run(main())
    return [event.avatar for event in puppet.heard if isinstance(event, ev.Recast)]


def test_a_later_hello_changes_the_voice_once() -> None:
    assert voices("kenji", "kenji", None, "mia") == ["kenji", "mia"]


def test_the_avatar_that_it_began_with_is_no_news() -> None:
    assert voices("elena", resume="elena") == []


def test_who_comes_back_with_another_avatar_has_its_voice() -> None:
    assert voices("kenji", resume="amara") == ["kenji", "amara"]
