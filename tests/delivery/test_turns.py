"""Which relay may take how many messages now: the decision by itself, and what it comes to message by message."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend import Delivery, RunError
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


# --- whether another session is of use --------------------------------------------------------------------------------


def relays(*priorities: int) -> list[Relay]:
    """Relays of these priorities that can send."""
    made = [Relay(f"relay {nth}", Delivery(), 0.0, priority=priority) for nth, priority in enumerate(priorities)]
    for one in made:
        one.reached()
    return made


def looks(*priorities: int) -> int:
    """How often a relay is looked at until each of them was refused, while the slots of all of them ask each time."""
    looked = 0

    def room(_: Relay, now: float) -> int:
        nonlocal looked
        looked += 1
        return sys.maxsize

    some = relays(*priorities)
    sharing = Sharing(some, room)
    for refused in some:
        refused.unreached = RunError("nobody is there")
        sharing.changed()
        for asking in 5 * some:
            sharing.may_work(asking, 0.0)
    return looked


@pytest.mark.parametrize("step", [0, 1], ids=["equals", "one after the other"])
def test_what_many_relays_cost_that_are_refused_grows_with_the_square_of_their_number(step: int) -> None:
    """Each of them has the slots of all ask, and all slots together have one look at all relays."""
    few, many = (looks(*(1 + step * nth for nth in range(number))) for number in (20, 40))
    assert many <= 4.5 * few


def sharing_of(some: list[Relay]) -> Sharing:
    return Sharing(some, lambda _, now: sys.maxsize)


def test_who_takes_messages_is_not_told_again_what_it_might_have_taken_before() -> None:
    """Also where it takes and asks in the same moment: it stays within the lead of the one that takes nothing."""
    some = relays(1, 1)
    sharing, taken = sharing_of(some), 0
    while sharing.may_work(some[0], 0.0):
        sharing.took(some[0], 0.0)
        taken += 1
        assert taken <= LEAD
    assert taken == LEAD // 2 + 1


def test_a_relay_that_is_back_is_told_so_in_the_same_moment() -> None:
    some = relays(1, 1)
    some[0].unreached = RunError("nobody is there")
    sharing = sharing_of(some)
    assert sharing.may_work(some[1], 0.0)
    some[0].reached()
    assert sharing.may_work(some[0], 0.0)


@pytest.mark.parametrize("then", ["it is said", "something may have happened", "time goes by"])
def test_a_relay_that_pauses_is_taken_over_from(then: str) -> None:
    first, second = some = relays(1, 2)
    sharing, now = sharing_of(some), 0.0
    assert not sharing.may_work(second, now)
    first.back_off_for(now, 60.0)
    if then == "it is said":
        sharing.changed()
    elif then == "something may have happened":
        sharing.refresh()
    else:
        now = 0.1
    assert sharing.may_work(second, now)
    assert sharing.may_work(first, now), "it has to be seen whether it is back"


def test_a_relay_that_is_not_back_is_tried_unless_one_that_goes_before_it_is_there() -> None:
    first, second = some = relays(1, 2)
    second.unreached = RunError("nobody is there")
    sharing = sharing_of(some)
    assert not sharing.may_work(second, 0.0)
    first.unreached = RunError("nobody is there, either")
    sharing.changed()
    assert sharing.may_work(second, 0.0)
    assert (sharing.is_best(first, 0.0), sharing.is_best(second, 0.0)) == (True, True)
    first.reached()
    assert (sharing.is_best(first, 0.0), sharing.is_best(second, 0.0)) == (True, False)
