"""Tickets open the page once and for a while; tokens are given out for tickets alone."""

from __future__ import annotations

from workers.agent.page.keys import TICKET_SECONDS, Keys


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_exchanged_once() -> None:
    keys = Keys()
    ticket = keys.new_ticket()
    token = keys.exchange(ticket)
    assert token is not None
    assert keys.knows(token)
    assert keys.exchange(ticket) is None
    assert not keys.knows(ticket)
    assert keys.knows(token)  # a replay costs the owner nothing


def test_nothing_else_opens_the_page() -> None:
    keys = Keys()
    ticket = keys.new_ticket()
    for wrong in ("", ticket[:-1], ticket + "A", ticket.swapcase(), "\ud800", "é"):
        assert keys.exchange(wrong) is None
        assert not keys.knows(wrong)
    assert keys.exchange(ticket) is not None


def test_an_old_ticket_opens_nothing() -> None:
    clock = Clock()
    keys = Keys(clock)
    early, late = keys.new_ticket(), keys.new_ticket()
    clock.now += TICKET_SECONDS - 1
    assert keys.exchange(early) is not None
    clock.now += 1
    assert keys.exchange(late) is None


def test_keys_are_few_and_the_newest_stay() -> None:
    keys = Keys()
    tickets = [keys.new_ticket() for _ in range(100)]
    assert keys.exchange(tickets[0]) is None
    tokens = [keys.exchange(ticket) for ticket in tickets]
    assert sum(token is not None for token in tokens) == 16
    assert keys.knows(str(tokens[-1]))
