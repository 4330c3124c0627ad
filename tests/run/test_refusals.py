"""A campaign of forty through a relay that refuses in the words of real ones, and what resuming it comes to.

The server's own count is the oracle: whatever was said, everybody has the message once in the end.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from batchsend import Stage
from batchsend.verdict import Verdict
from tests.cli.commandline import outcomes, statuses
from tests.run.limited import Commands, LimitedRelay, recipients

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.commandline import Ended
    from tests.tools.virtual import VirtualLoop

COUNT = 40
BEFORE = 10
"""Messages that are taken before the first refusal."""
CONNECTIONS = 3
ALIKE = 6
"""``stop_after`` of the campaign."""
DELIVERY = f'max_connections = {CONNECTIONS}\nstop_after = {ALIKE}\nmax_attempts = 2\nretry_after = "1m"'


class Wording(NamedTuple):
    """What a relay says, when, and what it means."""

    stage: Stage
    verdict: Verdict
    reply: str


def wordings(*verdicts: Verdict) -> list[Wording]:
    """The wordings of these verdicts."""
    lines = Path(__file__).with_name("refusals.tsv").read_text().splitlines()[1:]
    known = [Wording(Stage(stage), Verdict(verdict), reply) for stage, verdict, reply in (x.split("\t") for x in lines)]
    return [one for one in known if one.verdict in verdicts]


def named(one: Wording) -> str:
    return f"{one.stage}-{one.reply[:30]}"


def from_the(stage: Stage, first: int, last: int = 10**9) -> Callable[[int, int, Stage], bool]:
    """Refuse the offers from one to another, counted at the stage at which they are refused."""
    offers = 0

    def refuses(connection: int, transaction: int, asked: Stage) -> bool:
        nonlocal offers
        offers += asked is stage
        return asked is stage and first <= offers <= last

    return refuses


def check_everybody_has_it_once(relay: LimitedRelay, commands: Commands) -> None:
    assert relay.taken == dict.fromkeys(recipients(COUNT), 1)
    assert statuses(commands.log) == dict.fromkeys(range(1, COUNT + 1), "accepted")


def check_log_and_server_agree(relay: LimitedRelay, commands: Commands) -> Counter[str]:
    """What the log says is accepted is what the server has taken; how many records have which outcome."""
    last = {line["record"]: line for line in outcomes(commands.log)}
    accepted = {line["recipient"] for line in last.values() if line["status"] == "accepted"}
    assert relay.taken == dict.fromkeys(accepted, 1)
    return Counter(line["status"] for line in last.values())


def resumed(relay: LimitedRelay, commands: Commands, *options: str) -> Ended:
    relay.lifted = True
    return commands.resume(*options)


@pytest.mark.parametrize("wording", wordings(Verdict.QUOTA), ids=named)
def test_a_quota_ends_the_run_in_order_and_rejects_nobody(wording: Wording, commands: Commands) -> None:
    with commands.serving(LimitedRelay(from_the(wording.stage, BEFORE + 1), wording.reply)) as relay:
        ended = commands.send(commands.campaign(relay, COUNT, DELIVERY))
        assert ended.code == 3, ended
        assert "sending limit is used up until about" in ended.errors
        assert f" or later: batchsend resume {commands.log}; to let it wait by itself: --wait\n" in ended.errors
        assert ended.errors.count("batchsend resume") == 1
        assert check_log_and_server_agree(relay, commands) == {"accepted": BEFORE}
        assert relay.refused <= 2 * CONNECTIONS
        assert resumed(relay, commands).code == 0
        check_everybody_has_it_once(relay, commands)


@pytest.mark.parametrize("wording", wordings(Verdict.RELAY), ids=named)
def test_a_relay_that_refuses_us_ends_the_run_and_rejects_nobody(wording: Wording, commands: Commands) -> None:
    with commands.serving(LimitedRelay(from_the(wording.stage, BEFORE + 1), wording.reply)) as relay:
        ended = commands.send(commands.campaign(relay, COUNT, DELIVERY))
        assert ended.code == 3, ended
        assert "refuses to send for us" in ended.errors
        assert f": {wording.reply[:20]}" in ended.errors
        assert ".;" not in ended.errors
        assert check_log_and_server_agree(relay, commands) == {"accepted": BEFORE}
        assert relay.refused <= 2 * CONNECTIONS
        assert resumed(relay, commands).code == 0
        check_everybody_has_it_once(relay, commands)


@pytest.mark.parametrize("wording", wordings(Verdict.PACE), ids=named)
def test_a_pace_is_kept_and_everybody_has_it_in_one_run(wording: Wording, commands: Commands) -> None:
    refuses = from_the(wording.stage, BEFORE + 1, BEFORE + 4)
    check_one_run_is_enough(LimitedRelay(refuses, wording.reply), commands, slower=True)


@pytest.mark.parametrize("wording", wordings(Verdict.CONNECTIONS), ids=named)
def test_too_many_sessions_become_fewer_and_everybody_has_it_in_one_run(
    wording: Wording, commands: Commands, loop: VirtualLoop
) -> None:
    """For some seconds others hold the places; the session that is refused gets none, whatever it offers."""
    free_at = loop.time() + 8

    def refuses(connection: int, transaction: int, asked: Stage) -> bool:
        return asked is wording.stage and connection > 1 and loop.time() < free_at

    check_one_run_is_enough(LimitedRelay(refuses, wording.reply), commands)


@pytest.mark.parametrize("wording", wordings(Verdict.SESSION_FULL), ids=named)
def test_a_full_session_is_rotated_and_everybody_has_it_in_one_run(wording: Wording, commands: Commands) -> None:
    def refuses(connection: int, transaction: int, asked: Stage) -> bool:
        return asked is wording.stage and transaction > 5

    relay = LimitedRelay(refuses, wording.reply)
    check_one_run_is_enough(relay, commands)
    assert relay.refused <= 2 * CONNECTIONS, "learned: it need not be said by each session"


def check_one_run_is_enough(relay: LimitedRelay, commands: Commands, *, slower: bool = False) -> None:
    with commands.serving(relay):
        ended = commands.send(commands.campaign(relay, COUNT, DELIVERY))
        assert ended.code == 0, ended
        assert relay.refused
        assert ("slowed to" in ended.errors) is slower
        check_everybody_has_it_once(relay, commands)
        assert {line["attempt"] for line in outcomes(commands.log)} == {1}, "what goes back is no attempt"
        assert resumed(relay, commands).code == 0
        check_everybody_has_it_once(relay, commands)


@pytest.mark.parametrize("wording", wordings(Verdict.SENDER, Verdict.CONTENT, Verdict.REFUSED), ids=named)
def test_the_same_refusal_of_everybody_stops_the_run(wording: Wording, commands: Commands) -> None:
    with commands.serving(LimitedRelay(from_the(wording.stage, BEFORE + 1), wording.reply)) as relay:
        ended = commands.send(commands.campaign(relay, COUNT, DELIVERY))
        assert ended.code == 3, ended
        assert f" at {wording.stage}: {wording.reply[:20]}" in ended.errors
        found = check_log_and_server_agree(relay, commands)
        most = 10 if wording.verdict is Verdict.SENDER else ALIKE
        assert found.keys() == {"accepted", "rejected"}
        assert most <= found["rejected"] <= most + 2 * CONNECTIONS
        told = re.search(rf"batchsend resume {re.escape(str(commands.log))} (--retry) (\w+)\n", ended.errors)
        assert told is not None, ended.errors
        assert ended.errors.count("batchsend resume") == 1
        assert resumed(relay, commands, *told.groups()).code == 0, "what the user is told to say is enough"
        check_everybody_has_it_once(relay, commands)


@pytest.mark.parametrize("wording", wordings(Verdict.MAILBOX), ids=named)
def test_a_mailbox_that_is_not_there_is_rejected_and_nobody_else(wording: Wording, commands: Commands) -> None:
    with commands.serving(LimitedRelay(from_the(wording.stage, BEFORE + 1, BEFORE + 20), wording.reply)) as relay:
        ended = commands.send(commands.campaign(relay, COUNT, DELIVERY))
        assert ended.code == 1, ended
        assert check_log_and_server_agree(relay, commands) == {"accepted": 20, "rejected": 20}
        assert relay.refused == 20
        assert resumed(relay, commands).code == 1, "by itself nobody is written to who was rejected"
        assert len(relay.accepted) == 20
        assert resumed(relay, commands, "--retry", "rejected").code == 0
        check_everybody_has_it_once(relay, commands)


@pytest.mark.parametrize("wording", wordings(Verdict.LATER, Verdict.GREYLISTED), ids=named)
def test_what_is_said_of_one_recipient_for_now_is_tried_again(wording: Wording, commands: Commands) -> None:
    """All of a run's attempts are refused; what is deferred then is sent by `resume`, without a word."""
    with commands.serving(LimitedRelay(from_the(wording.stage, BEFORE + 1), wording.reply)) as relay:
        ended = commands.send(commands.campaign(relay, COUNT, DELIVERY))
        assert ended.code == 1, ended
        assert check_log_and_server_agree(relay, commands) == {"accepted": BEFORE, "deferred": COUNT - BEFORE}
        assert relay.refused == 2 * (COUNT - BEFORE)
        assert resumed(relay, commands).code == 0
        check_everybody_has_it_once(relay, commands)


def test_each_verdict_has_its_wordings() -> None:
    assert {one.verdict for one in wordings(*Verdict)} == set(Verdict) - {Verdict.ACCEPTED}
    assert len(wordings(*Verdict)) > 60
