"""Which relay may take how many messages now: the decision by itself, and what it comes to message by message."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend import Delivery
from batchsend.delivery.relay import Relay
from batchsend.delivery.turns import LEAD, Sharing, Standing, decide, returning

TURNS = st.floats(0, 1000)
STANDINGS = st.lists(
    st.builds(
        Standing,
        priority=st.integers(0, 3),
        weight=st.integers(1, 100),
        turns=TURNS,
        ready=st.booleans(),
        awaited=st.booleans(),
        room=st.integers(0, 1000),
    ),
    min_size=1,
    max_size=6,
)


@given(STANDINGS)
def test_nobody_is_given_more_than_there_is_room_for_and_who_cannot_send_nothing(standings: list[Standing]) -> None:
    for one, allowed in zip(standings, decide(standings), strict=True):
        assert 0 <= allowed <= one.room
        assert allowed == 0 or one.ready


@given(STANDINGS)
def test_only_the_lowest_priority_that_can_send_is_given_anything(standings: list[Standing]) -> None:
    able = [one.priority for one in standings if one.ready and one.room]
    for one, allowed in zip(standings, decide(standings), strict=True):
        assert not allowed or one.priority == min(able)


@given(STANDINGS)
def test_where_somebody_can_send_somebody_may(standings: list[Standing]) -> None:
    """The work never stands still: least of all for the sake of shares."""
    able = any(one.ready and one.room for one in standings)
    assert any(decide(standings)) == able


@given(STANDINGS)
def test_who_is_not_awaited_is_held_up_by_nothing_but_its_room(standings: list[Standing]) -> None:
    best = min((one.priority for one in standings if one.ready and one.room), default=None)
    for one, allowed in zip(standings, decide(standings), strict=True):
        if one.ready and one.room and not one.awaited and one.priority == best:
            assert allowed == one.room


@given(STANDINGS)
def test_who_comes_back_has_little_to_catch_up_with(standings: list[Standing]) -> None:
    awaited = [one for one in standings if one.ready and one.awaited and one.room]
    for one, turns in zip(standings, returning(standings), strict=True):
        assert turns >= one.turns
        if awaited:
            least, weights = min(other.turns for other in awaited), sum(other.weight for other in awaited)
            assert turns == one.turns or turns == least - LEAD / weights


@given(
    weights=st.lists(st.integers(1, 100), min_size=2, max_size=4), lead=st.floats(1, LEAD), seed=st.integers(0, 2**32)
)
def test_whoever_waits_for_its_share_is_told_when_to_go_on(weights: list[int], lead: float, seed: int) -> None:
    """Otherwise all of them wait, and the work stands still until somebody looks."""
    chance = random.Random(seed)
    relays = [Relay(f"relay {number}", Delivery(), 0.0, weight=weight) for number, weight in enumerate(weights)]
    for one in relays:
        one.reached()
    sharing = Sharing(relays, lambda _, now: sys.maxsize)
    sharing.lead = lead
    waiting: set[Relay] = set()
    for _ in range(250):
        relay = chance.choice([one for one in relays if one not in waiting])
        if not sharing.may_take(relay, 0.0):
            waiting.add(relay)
        elif sharing.took(relay, 0.0):
            waiting.clear()
        assert len(waiting) < len(relays)


@pytest.mark.slow
@given(
    weights=st.lists(st.integers(1, 10), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
    asleep=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9000), st.integers(100, 3000)), max_size=3),
)
def test_shares_follow_the_weights_within_two_percent_of_ten_thousand(
    weights: list[int], seed: int, asleep: list[tuple[int, int, int]]
) -> None:
    """Relays ask in any order and for any number at once; some of them sleep for a while."""
    chance = random.Random(seed)
    turns = [0.0] * len(weights)
    together = [0] * len(weights)  # what each took while all could send
    sent = 0
    while sent < 10_000:
        ready = [
            not any(who == place and since <= sent < since + length for who, since, length in asleep)
            for place in range(len(weights))
        ]
        standings = [Standing(1, weight, its, able) for weight, its, able in zip(weights, turns, ready, strict=True)]
        turns = returning(standings)
        standings = [one._replace(turns=its) for one, its in zip(standings, turns, strict=True)]
        allowed = decide(standings)
        if not any(ready):
            sent += 50
            continue
        place = chance.choice([place for place, most in enumerate(allowed) if most])
        for _ in range(min(allowed[place], chance.randint(1, 20))):
            turns[place] += 1 / weights[place]
            sent += 1
            together[place] += all(ready)
    whole = sum(together)
    for weight, took in zip(weights, together, strict=True):
        share = whole * weight / sum(weights)
        # Each time that one has been away, it may be the lead before or behind the others when all can send again.
        assert abs(took - share) <= (1 + 2 * len(asleep)) * (LEAD + len(weights)) + 20


@pytest.mark.parametrize(
    ("standings", "allowed"),
    [
        # Equal in turns: each may take its part of the lead, and one.
        ([Standing(1, 3, 0, True), Standing(1, 1, 0, True)], [49, 17]),
        # One is ahead of its share: it waits, the other may catch up.
        ([Standing(1, 3, 10, True), Standing(1, 1, 30, True)], [49, 0]),
        # Then the other one sleeps, is too slow, or has used its quota up: nobody waits for it.
        ([Standing(1, 3, 10, False), Standing(1, 1, 30, True, room=500)], [0, 65]),
        ([Standing(1, 3, 10, True, awaited=False, room=9), Standing(1, 1, 30, True)], [9, 17]),
        ([Standing(1, 3, 10, True, room=0), Standing(1, 1, 30, True)], [0, 65]),
        # The second relay is for when the first cannot.
        ([Standing(1, 1, 0, True), Standing(2, 1, 0, True)], [65, 0]),
        ([Standing(1, 1, 0, False), Standing(2, 1, 0, True)], [0, 65]),
    ],
)
def test_a_table_of_decisions(standings: list[Standing], allowed: list[int]) -> None:
    assert decide(standings) == allowed
