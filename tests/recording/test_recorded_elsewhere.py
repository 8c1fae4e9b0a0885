"""A recorded conversation that goes on at another server: its first part is a whole file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests import vtime
from tests.chaos.house import Guest, house
from tests.chaos.party import SETTINGS, ask
from tests.deploy.test_many_carried import QUESTION, talking

from visavis.recording.replay import replay
from visavis.server.sessions import MOVED
from visavis.settings import Settings


def recording(folder: Path) -> Settings:
    return Settings.model_validate(SETTINGS | {"recording": {"folder": str(folder)}})


def test_what_was_recorded_before_a_conversation_moved_is_replayed(tmp_path: Path) -> None:
    settings = recording(tmp_path)

    async def main() -> None:
        async with house(settings) as app:
            guest = Guest(app)
            await ask(guest, "before 0.5")
            assert guest.of("config")[0]["recorded"] is True
            guest.say(type="text", data=QUESTION)
            await guest.more(len(guest.heard) + 40)  # in the middle of the answer
            (seat,) = app.state.sessions
            app.state.sessions.send_away(seat, *MOVED)
            await seat.ended.wait()
            await guest.leave()

    vtime.run(main())
    (file,) = tmp_path.iterdir()
    outcome = replay(file, settings)
    assert (outcome.different, outcome.broken_off) == (0, False)
    assert outcome.outputs > 40


def test_what_comes_from_another_server_is_not_recorded_and_says_so(tmp_path: Path) -> None:
    settings, carried = recording(tmp_path), talking(2.1)[1].carried()
    mine = replace(carried, begun=replace(carried.begun, owner=""))

    async def main() -> None:
        async with house(settings) as app:
            app.state.sessions.go_on(mine, "token")
            async with Guest(app) as guest:
                guest.say(type="hello", resume="token")
                assert (await guest.until("config", resumed=True)).get("recorded", False) is False
                await guest.until("transcript_done", role="assistant")
                assert guest.of("sync_frame")
            assert not [seat for seat in app.state.sessions if seat.session.recorded]

    vtime.run(main())
    assert not list(tmp_path.iterdir())
