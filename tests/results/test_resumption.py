"""What a run that is gone on with sends again, and what it knows before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchsend.errors import UsageError
from batchsend.outcome import Outcome
from batchsend.results.choice import Choice
from batchsend.results.journal import Entry, journal_path
from batchsend.results.ledger import Ledger
from batchsend.results.line import outcome_line
from batchsend.results.resumption import Resumption, news
from batchsend.results.tally import Tally
from tests.results.account import RUN, killed, ledger, result

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def ended(log: Path, *statuses: Outcome) -> Path:
    """The log of a run whose records have these outcomes, in their order."""
    with ledger(log) as account:
        for record, status in enumerate(statuses, 1):
            account.append(result(record, status, code=550))
        account.end(None, {})
    return log


def test_where_there_is_no_log_none_is_made(log: Path) -> None:
    with pytest.raises(UsageError, match="there is no such results log"), Resumption(log, Choice()):
        pass
    assert not log.exists()


def test_it_is_open_until_its_log_is_handed_over(log: Path) -> None:
    past = Resumption(ended(log), Choice())
    states = [past.is_open]
    with past:
        states.append(past.is_open)
        with Ledger(log, RUN, capacity=2, resumption=past) as account:
            states.append(past.is_open)
            account.end(None, {})
        with pytest.raises(UsageError, match="resumption is not open"):
            past.hand_over_file()
    assert states == [False, True, False]


def test_what_it_is_asked_before_it_is_open_it_does_not_know(log: Path) -> None:
    past = Resumption(ended(log), Choice())
    for asked in (past.next_attempt, past.was_offered):
        with pytest.raises(UsageError, match="resumption is not open"):
            asked(1)


def test_a_wrong_type_is_named(log: Path) -> None:
    wrong: Any = "in_doubt"
    with pytest.raises(TypeError, match="choice"):
        Resumption(log, wrong)
    with pytest.raises(TypeError, match="accept_duplicates"):
        Resumption(log, Choice(), accept_duplicates=wrong)
    with pytest.raises(TypeError, match="status"):
        Resumption(log, Choice()).sends(wrong)


def test_an_address_counts_as_written_to_where_its_record_was_offered(log: Path) -> None:
    with Resumption(ended(log, *Outcome), Choice()) as past:
        offered = [past.was_offered(record) for record in range(1, len(Outcome) + 2)]
    assert offered == [*(outcome.was_offered for outcome in Outcome), False]


def test_codes_are_known_of_every_record_however_many_there_are(log: Path) -> None:
    """Also of those that come one after the other, and of one far behind them."""
    with ledger(log) as account:
        for record in (*range(1, 3000), 5000):
            account.append(result(record, Outcome.REJECTED, code=550))
            account.append(result(record, Outcome.REJECTED, code=550 if record % 2 else 554))
        account.end(None, {})
    with Resumption(log, Choice(["550"])) as past:
        found = [record for record in range(1, 10_000) if past.next_attempt(record) == 2]
    assert found == [*range(1, 3000, 2)]


@pytest.mark.parametrize(("before", "answered", "sent"), [(None, 550, 2), (None, 554, 0), (550, 554, 0), (554, 550, 3)])
def test_a_code_that_only_the_journal_knows_counts(
    log: Path, tmp_path: Path, before: int | None, answered: int, sent: int
) -> None:
    """The run was killed between the server's answer and its line: it is the last one all the same."""
    with ledger(log) as account:
        if before is not None:
            account.append(result(7, Outcome.REJECTED, code=before))
            account.flush()
        attempt = 1 if before is None else 2
        account.commit(7, attempt)
        account.append(result(7, Outcome.REJECTED, attempt=attempt, code=answered))
        found = killed(log, tmp_path / "killed")
    with Resumption(found, Choice(["550"])) as past:
        assert past.next_attempt(7) == sent
        assert past.in_flight == [Entry(7, attempt, Outcome.REJECTED, answered)]


@pytest.mark.parametrize("status", Outcome)
def test_wherever_a_line_is_torn_its_record_is_not_sent_again_if_it_may_have_been_delivered(
    log: Path, tmp_path: Path, status: Outcome
) -> None:
    """Without the journal, with the user's word that some may get the message twice."""
    with ledger(log) as account:
        account.append(result(3, Outcome.DEFERRED, code=451))
        account.flush()
        found = killed(log, tmp_path / "killed")
    journal_path(found).unlink()
    whole = found.read_bytes()
    line = outcome_line(result(3, status, attempt=2))
    named, said = line.index(b'"recipient"'), line.index(b'"stage"') - 1
    for length in range(len(line)):
        found.write_bytes(whole + line[:length])
        is_in_doubt = length >= named and (length < said or status in (Outcome.ACCEPTED, Outcome.IN_DOUBT))
        with Resumption(found, Choice(), accept_duplicates=True) as past:
            assert past.in_flight == ([Entry(3, 2)] if is_in_doubt else []), line[:length]
            assert past.account.torn == length


@pytest.mark.parametrize(
    ("logged", "entry", "is_news"),
    [
        (None, Entry(1, 1), True),
        (None, Entry(1, 1, Outcome.DEFERRED, 451), True),
        ((Outcome.ACCEPTED, 1), Entry(1, 1), False),
        ((Outcome.REJECTED, 1), Entry(1, 1), False),
        ((Outcome.ACCEPTED, 1), Entry(1, 2), True),
        ((Outcome.DEFERRED, 1), Entry(1, 1), True),
        ((Outcome.DEFERRED, 1), Entry(1, 2), True),
        ((Outcome.IN_DOUBT, 1), Entry(1, 1), True),
        ((Outcome.ACCEPTED, 1), Entry(1, 1, Outcome.ACCEPTED, 250), False),
        ((Outcome.DEFERRED, 1), Entry(1, 2, Outcome.DEFERRED, 451), True),
        ((Outcome.DEFERRED, 1), Entry(1, 1, Outcome.ACCEPTED, 250), True),
        ((Outcome.ACCEPTED, 1), Entry(1, 1, Outcome.IN_DOUBT), True),
    ],
)
def test_what_the_journal_knows_and_the_log_does_not(
    logged: tuple[Outcome, int] | None, entry: Entry, is_news: bool
) -> None:
    """On the disk the journal may be older than the log: what is decided there is not put in doubt by it."""
    tally = Tally()
    if logged is not None:
        tally.note(1, *logged)
    assert news([entry], tally) == ([entry] if is_news else [])
