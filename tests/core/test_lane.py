"""One thread that is not waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from visavis import lane
from visavis.lane import Lane

PATIENCE = 60.0


@pytest.fixture
def free() -> Iterator[threading.Event]:
    """What a call that hangs waits for; set in the end."""
    event = threading.Event()
    yield event
    event.set()


def test_it_does_one_thing_after_the_other_and_tells_what_came_of_it() -> None:
    with Lane("test") as ours:
        done = [ours.submit(divmod, number, 2) for number in range(50)]
        failed, after = ours.submit(divmod, 1, 0), ours.submit(threading.get_ident)
        assert [each.result(PATIENCE) for each in done] == [divmod(number, 2) for number in range(50)]
        assert isinstance(failed.exception(PATIENCE), ZeroDivisionError)
        assert after.result(PATIENCE) == ours.submit(threading.get_ident).result(PATIENCE)
        assert after.result(PATIENCE) != threading.get_ident()


def test_what_is_cancelled_before_it_begins_is_not_done(free: threading.Event) -> None:
    with Lane("test") as ours:
        first, second = ours.submit(free.wait, PATIENCE), ours.submit(divmod, 7, 2)
        assert second.cancel()
        free.set()
        assert first.result(PATIENCE)
        assert ours.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)


def test_nobody_waits_for_what_does_not_return(
    free: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "WAIT", 0.01)
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        free.wait(PATIENCE)

    with Lane("stuck") as ours:
        hanging = ours.submit(hang)
        assert begun.wait(PATIENCE)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "stuck"]
    assert thread.daemon  # which the interpreter does not wait for
    assert not hanging.done()
    free.set()
    thread.join(PATIENCE)
    assert hanging.result(PATIENCE) is None
    assert not thread.is_alive()
