"""Unsubscribe links: POST is kept and answered, GET asks, a forged link is of nobody, nothing is said of anybody."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from batchsend.errors import UsageError
from batchsend.listen.signatures import HookVerifier
from batchsend.listen.web import MOST_OF_FORM, application
from batchsend.message import Suppression
from batchsend.message.verp import key_file
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.line import outcome_line
from tests.feedback.letters import lines_of
from tests.listen.signed import SignedRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from batchsend.listen.run import ListenedRun

POSTED = {"List-Unsubscribe": "One-Click"}


def no_fetching(url: str) -> bytes:
    raise AssertionError(f"{url} was asked for")


def client(*runs: ListenedRun, said: list[str] | None = None) -> httpx.AsyncClient:
    notices = [] if said is None else said
    app = application(runs, HookVerifier({}, no_fetching), notice=notices.append, visit=no_fetching)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://lists.example.com")


@pytest.fixture
def signed(tmp_path: Path) -> SignedRun:
    return SignedRun(tmp_path)


async def test_a_post_is_kept_and_suppresses(signed: SignedRun) -> None:
    async with client(signed.listened()) as http:
        answer = await http.post(signed.link(3), data=POSTED)
    assert answer.status_code == 200
    (line,) = lines_of(signed.log)
    assert (line["record"], line["recipient"], line["kind"]) == (3, "carl@example.net", "unsubscribed")
    assert line["source"] == "one click"
    listed = Suppression.read([signed.log])
    assert "carl@example.net" in listed
    assert "anna@example.org" not in listed


async def test_in_several_parts_as_rfc_8058_allows_it(signed: SignedRun) -> None:
    async with client(signed.listened()) as http:
        answer = await http.post(signed.link(1), files={"List-Unsubscribe": (None, "One-Click")})
    assert answer.status_code == 200
    assert len(lines_of(signed.log)) == 1


async def test_a_get_asks_and_does_nothing(signed: SignedRun) -> None:
    async with client(signed.listened()) as http:
        for method in ("GET", "HEAD"):
            answer = await http.request(method, signed.link(3))
            assert answer.status_code == 200
        asked = await http.get(signed.link(3))
    assert '<form method="post">' in asked.text
    assert "carl" not in asked.text
    assert asked.headers["Referrer-Policy"] == "no-referrer"
    assert asked.headers["Cache-Control"] == "no-store"
    assert lines_of(signed.log) == []


async def test_said_again_it_is_one_line_and_the_same_answer(signed: SignedRun) -> None:
    async with client(signed.listened()) as http:
        answers = [await http.post(signed.link(3), data=POSTED) for _ in range(3)]
        answers += [await http.get(signed.link(3)), await http.get(signed.link(4))]
    assert len({(one.status_code, one.text) for one in answers[:3]}) == 1
    assert answers[3].text == answers[4].text  # who has unsubscribed is asked as who has not
    assert len(lines_of(signed.log)) == 1
    async with client(signed.listened()) as http:  # and by another process
        await http.post(signed.link(3), data=POSTED)
    assert len(lines_of(signed.log)) == 1


async def test_many_at_once_are_each_kept(tmp_path: Path) -> None:
    signed = SignedRun(tmp_path, tuple(f"r{number}@example.org" for number in range(1, 301)))
    async with client(signed.listened()) as http:
        answers = await asyncio.gather(*(http.post(signed.link(number), data=POSTED) for number in range(1, 301)))
    assert {one.status_code for one in answers} == {200}
    assert {line["record"] for line in lines_of(signed.log)} == set(range(1, 301))


async def test_forged_and_foreign_links_unsubscribe_nobody(signed: SignedRun, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = SignedRun(tmp_path / "other")
    generator = random.Random(7)
    path = signed.link(3)
    forged = [f"{path[:-26]}{''.join(generator.choices('abcdefghijklmnopqrstuvwxyz234567', k=26))}" for _ in range(100)]
    async with client(signed.listened()) as http:
        answers = [await http.post(one, data=POSTED) for one in [*forged, other.link(3), "/u/", "/", "/u/3", path[:-1]]]
        again = [await http.get(one) for one in forged[:2]]
    assert {one.status_code for one in [*answers, *again]} == {404}
    assert len({one.text for one in [*answers, *again]}) == 1
    assert lines_of(signed.log) == []


async def test_each_run_keeps_its_own(signed: SignedRun, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = SignedRun(tmp_path / "other")
    async with client(signed.listened(), other.listened()) as http:
        assert (await http.post(other.link(2), data=POSTED)).status_code == 200
    assert lines_of(signed.log) == []
    assert [line["record"] for line in lines_of(other.log)] == [2]


async def test_a_body_that_is_too_large_is_not_read_to_its_end(signed: SignedRun) -> None:
    async with client(signed.listened()) as http:
        answer = await http.post(signed.link(3), content=b"x" * (MOST_OF_FORM + 1))
    assert answer.status_code == 413
    assert lines_of(signed.log) == []


async def test_a_body_that_does_not_come_is_not_waited_for(signed: SignedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsend.listen.web.WITHIN", 0.05)
    released = asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        yield b"List-"
        await released.wait()

    async with client(signed.listened()) as http, asyncio.timeout(20):
        answer = await http.post(signed.link(3), content=never())
    assert answer.status_code == 408
    assert lines_of(signed.log) == []


async def test_what_cannot_be_kept_is_not_said_to_be(signed: SignedRun) -> None:
    said: list[str] = []
    run = signed.listened()
    signed.log.unlink()
    signed.log.mkdir()  # nothing can be written there
    async with client(run, said=said) as http:
        answer = await http.post(signed.link(3), data=POSTED)
        assert answer.status_code == 503
        assert "not unsubscribed yet" in answer.text
        assert len(said) == 1
        assert said[0].startswith("an unsubscribe could not be kept: ")
        signed.log.rmdir()
        assert (await http.post(signed.link(3), data=POSTED)).status_code == 200
    assert [line["record"] for line in lines_of(signed.log)] == [3]


async def test_who_unsubscribes_before_the_log_says_who_it_was_is_named_later(signed: SignedRun) -> None:
    async with client(signed.listened()) as http:
        assert (await http.post(signed.link(6), data=POSTED)).status_code == 200  # sent, and not yet in the log
    assert [line["recipient"] for line in lines_of(signed.log)] == [None]
    accepted = DeliveryResult(record=6, recipient="emil@example.org", status=Outcome.ACCEPTED)
    with signed.results.open("ab") as file:
        file.write(outcome_line(accepted))
    run = signed.listened()  # started anew, it finds what is open
    assert [line["recipient"] for line in lines_of(signed.log)] == [None, "emil@example.org"]
    assert run.complete() == 0
    assert "emil@example.org" in Suppression.read([signed.log])


async def test_the_log_is_followed_while_the_run_goes_on(signed: SignedRun) -> None:
    run = signed.listened()
    accepted = DeliveryResult(record=6, recipient="emil@example.org", status=Outcome.ACCEPTED)
    with signed.results.open("ab") as file:
        file.write(outcome_line(accepted)[:-20])  # what a process was about to write
        file.flush()
        async with client(run) as http:
            await http.post(signed.link(1), data=POSTED)
            file.write(outcome_line(accepted)[-20:])
            file.flush()
            await http.post(signed.link(6), data=POSTED)
    assert [line["recipient"] for line in lines_of(signed.log)] == ["anna@example.org", "emil@example.org"]


def test_without_the_libraries_it_says_what_to_install(signed: SignedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the package does without them, so who is without them hears the name of the extra."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "starlette"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)  # an import of it fails as where it is not there
    with pytest.raises(UsageError, match="starlette and uvicorn, which are not installed") as error:
        client(signed.listened())
    assert error.value.remedy == "pip install 'batchsend-smtp[web]'"


def test_without_a_key_nothing_can_be_told_from_a_forgery(signed: SignedRun) -> None:
    key_file(signed.results).unlink()
    run = signed.listened()
    with pytest.raises(UsageError, match=r"there is no .*results\.jsonl\.key"):
        run.require_key()
    assert run.record_of_link(signed.verp.link(3)) is None
    assert not run.owns(signed.return_path(3))
