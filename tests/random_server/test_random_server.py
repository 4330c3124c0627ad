"""A server that goes wrong at random: nothing is called accepted that it has not taken.

``python -m tests.random_server 200000`` tries that many transactions; ``BATCHSEND_TRANSACTIONS`` sets the number here.
"""

from __future__ import annotations

import os
import random

import pytest

from batchsend import Outcome
from tests.random_server.server import LIES, UNDECIDABLE, Dialogue
from tests.random_server.table import rows
from tests.random_server.trial import one_run, run_trials

# The connections are the test's own, and a compiled pool takes no connector but the real one.
pytestmark = pytest.mark.interpreted

TRANSACTIONS = int(os.environ.get("BATCHSEND_TRANSACTIONS", "15000"))


@pytest.mark.slow
def test_nothing_is_called_accepted_that_was_not_taken() -> None:
    seed = random.randrange(2**32)
    found = run_trials(TRANSACTIONS, seed)
    print(f"\nseed {seed}")
    for row in rows(found):
        print(row)
    assert not [line for findings in found.values() for line in findings.wrongly_accepted]
    for (kind, _), findings in found.items():
        if kind not in UNDECIDABLE:
            assert not findings.unseen
        if kind not in UNDECIDABLE | LIES:
            assert not findings.taken, "called refused, and taken"
    for (kind, _), findings in found.items():
        if kind == "none":
            assert not findings.outcomes[Outcome.IN_DOUBT], "in doubt, and nothing has gone wrong"


@pytest.mark.parametrize(
    ("kind", "mode", "seed"),
    [
        # Replies that are a whole transaction late fit again.
        ("250 too many", "chunked", 1095513148),
        ("said twice", "chunked", 1609337231),
        ("missing", "chunked", 4217987067),
        # What is lost at the end shows only as silence: the server is asked,
        ("missing", "chunked", 1930549411),
        # or has ended the session first.
        ("missing, and an end", "chunked", 1007773001),
        # Where recipients share a message, replies that are late by one fit; a closing reply stood where one was due.
        ("missing, and an end", "chunked", 1102646677),
        # What tells that a reply is to a RCPT does not tell to which one of several: neither from the beginning,
        ("said twice", "chunked", 3935133054),
        # nor counted from the end.
        ("250 too many", "chunked", 2884292011),
    ],
)
def test_what_was_once_wrongly_accepted(kind: str, mode: str, seed: int) -> None:
    assert not one_run(kind, mode, seed).wrongly_accepted


def test_the_same_seed_is_the_same_dialogue() -> None:
    assert one_run("250 too many", "pipelined", 5) == one_run("250 too many", "pipelined", 5)


def test_every_fault_shows_in_a_dialogue() -> None:
    """The judge of what could be seen sees it."""
    assert Dialogue([b"MAIL", b"RCPT", b"DATA", b".", b"QUIT"], [250, 250, 354, 250, 221]).faultless()
    assert Dialogue([b"MAIL", b"RCPT", b"DATA", b"QUIT"], [550, 503, 503, 221]).faultless()
    assert Dialogue([b"MAIL", b"RCPT", b"RCPT", b".", b"QUIT"], [250, 550, 250, 250, 221]).faultless()
    assert not Dialogue([b"MAIL", b"RCPT", b"RCPT", b".", b"QUIT"], [250, 550, 550, 250, 221]).faultless()
    assert not Dialogue([b"MAIL", b"RCPT", b"DATA"], [250, 250]).faultless()
    assert not Dialogue([b"MAIL", b"RCPT", b"DATA"], [250, 250, 250]).faultless()
    assert not Dialogue([b"MAIL", b"RCPT"], [550, 250]).faultless()
