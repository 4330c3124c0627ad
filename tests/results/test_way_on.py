"""What users are told to do where a run is to be gone on with: it can be copied as it is."""

from __future__ import annotations

from pathlib import Path

from batchsend.results.way_on import way_on


def test_what_is_said_can_be_typed_and_asks_for_no_more_than_was_meant() -> None:
    log = Path("/lists/spring mailing/results.jsonl")
    typed = "batchsend resume '/lists/spring mailing/results.jsonl'"
    assert way_on(log) == f"{typed}, in Python Batch(…, resumption=…)"
    assert way_on(log, retry="in_doubt") == (f'{typed} --retry in_doubt, in Python Resumption(…, Choice(["in_doubt"]))')
    assert way_on(log, accept_duplicates=True) == (
        f"{typed} --accept-duplicates, in Python Resumption(…, accept_duplicates=True)"
    )
