"""Messages composed in processes beside the run's own: the same messages, in order, whatever becomes of a process."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

import anyio
import pytest
from anyio.abc import Process

from batchsend import Batch, Campaign, Message, Outcome, RunError, Server, Stage, load
from batchsend.campaign.own import own_files
from batchsend.errors import RecordError
from batchsend.message import Submission, Suppression
from batchsend.recipients import Record, open_records
from batchsend.recipients.admission import Admission
from batchsend.run.composer_process import LENGTH, MOST_OCTETS, Recipe
from batchsend.run.composing import Composing, processes_for
from batchsend.run.producer import Producer
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign, log
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.message import Composer

pytestmark = pytest.mark.slow  # each of them starts processes

ROWS = "".join(f"r{number}@example.com,Nämé {number}\n" for number in range(1, 301))
# Among the rows: one that is cut off, one without an address, one that comes again.
MIXED = ROWS[: len(ROWS) // 2].rpartition("\n")[0] + "\nbad,row,here\nnobody,X\nr1@example.com,again\n" + ROWS


def recipe(sent: Campaign) -> Recipe:
    return Recipe(sent.message, sent.directory, "b1", sent.recipient_field, sent.results, own_files(sent))


def children() -> list[int]:
    """The processes that this one has started and that compose messages."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid() and b"composer_process" in command:
            found.append(int(entry.name))
    return found


def records(count: int) -> list[Record]:
    return [
        Record(number, number + 1, {"email": f"r{number}@example.com", "name": "Ö" * number})
        for number in range(1, count + 1)
    ]


async def outcomes_with(folder: Path, processes: int) -> tuple[list[tuple[Any, ...]], dict[str, bytes]]:
    """What became of each record in a run, and what the server received for each recipient."""
    async with CountingServer(well_behaved) as server:
        with anyio.fail_after(GUARD):
            await Batch(campaign(folder, server, MIXED, processes=processes)).run()
    told = sorted((line["record"], line["recipient"], line["status"], line.get("reason")) for line in log(folder)[1])
    return told, {message.recipients[0]: message.content for message in server.accepted}


async def test_it_makes_no_difference_who_composes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="batchsend")
    for name in ("alone", "beside"):
        (tmp_path / name).mkdir()
    alone, received_alone = await outcomes_with(tmp_path / "alone", 1)
    assert "compose messages" not in caplog.text
    beside, received_beside = await outcomes_with(tmp_path / "beside", 2)
    assert "2 processes compose messages, each of which takes " in caplog.text
    assert "takes 0.00 ms" not in caplog.text
    assert alone == beside
    assert received_alone.keys() == received_beside.keys()
    for recipient, content in received_alone.items():
        one, other = (
            re.sub(rb"(?m)^(Date|Message-ID): .*\r\n", b"", text) for text in (content, received_beside[recipient])
        )
        assert one == other
    assert children() == []


async def test_a_process_that_is_killed_costs_nobody_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed: list[int] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if len(killed) < 3 and (found := [one for one in children() if one not in killed]):
            os.kill(found[0], signal.SIGKILL)
            killed.append(found[0])
        return ACCEPT

    async with CountingServer(decide) as server:
        with anyio.fail_after(GUARD):
            summary = await Batch(campaign(tmp_path, server, ROWS * 4, processes=2, duplicates="send")).run()
    assert len(killed) == 3
    assert "a process that composes messages has ended, with status -9" in caplog.messages
    assert +summary.counts == {Outcome.ACCEPTED: 1200}
    assert len(server.accepted) == 1200


async def test_a_signal_to_all_processes_is_the_runs_to_heed(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        async with Composing(recipe(sent), recipe(sent).composer(), 1).open() as composing:
            await composing.compose(records(1))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(children()[0], number)
            assert len(await composing.compose(records(5))) == 5
            assert len(children()) == 1, "the one that there is is asked again"
            assert os.getsid(children()[0]) != os.getsid(0), "an interrupt at the terminal does not even reach it"


class Deadly:
    """A recipe whose composer ends its process at some records."""

    def __init__(self, recipe: Recipe, *fatal: int) -> None:
        self.recipe = recipe
        self.fatal = fatal

    def composer(self) -> Deadly:
        self.inner = self.recipe.composer()
        return self

    def compose(self, record: Record, *, at: int) -> Submission:
        if record.number in self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.compose(record, at=at)


async def test_a_record_that_ends_its_process_costs_itself(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        composer: Composer = recipe(sent).composer()
        async with Composing(Deadly(recipe(sent), 3, 7, 8), composer, 2).open() as composing:  # type: ignore[arg-type]
            with anyio.fail_after(GUARD):
                answer = await composing.compose(records(9))
    died = [number for number, one in enumerate(answer, 1) if isinstance(one, str)]
    assert died == [3, 7, 8]
    assert [one.record for one in answer if isinstance(one, Submission)] == [1, 2, 4, 5, 6, 9]


async def test_nothing_is_kept_of_processes_that_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run may come to any number of records that end theirs."""
    opened, made = anyio.open_process, list[ReferenceType[Process]]()

    async def open_process(*arguments: Any, **options: Any) -> Process:
        process = await opened(*arguments, **options)
        made.append(ref(process))
        return process

    monkeypatch.setattr(anyio, "open_process", open_process)
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        deadly: Any = Deadly(recipe(sent), 1)
        async with Composing(deadly, recipe(sent).composer(), 1).open() as composing:
            with anyio.fail_after(GUARD):
                await composing.compose(records(2))
            gc.collect()
            assert len(made) == 4, "two tries of both, and one of each"
            assert len([process for process in made if process() is not None]) == 1


async def test_where_the_third_record_in_a_row_ends_its_process_the_run_stops(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        deadly: Any = Deadly(recipe(sent), 1, 2, 4, 5, 6)
        async with Composing(deadly, recipe(sent).composer(), 1).open() as composing:
            with anyio.fail_after(3 * GUARD):
                rows = records(6)
                parts = [await composing.compose(some) for some in (rows[:2], rows[2:3], rows[3:5])]
                assert [type(one) for part in parts for one in part] == [str, str, Submission, str, str]
                with pytest.raises(RunError, match="end again and again"):
                    await composing.compose(rows[5:])


async def test_records_that_end_their_process_are_not_in_a_row_where_others_are_composed_between(
    tmp_path: Path,
) -> None:
    """Large messages come one by one: a record that ends its process may be alone in what is asked for."""
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        deadly: Any = Deadly(recipe(sent), 1)
        async with Composing(deadly, recipe(sent).composer(), 1).open() as composing:
            with anyio.fail_after(2 * GUARD):
                for _ in range(3):
                    first, second = records(2)
                    assert all(isinstance(one, str) for one in await composing.compose([first]))
                    assert all(isinstance(one, Submission) for one in await composing.compose([second]))


async def test_a_file_that_has_gone_ends_the_run_in_order(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        (tmp_path / "hello.txt").unlink(missing_ok=True)
        return ACCEPT

    async with CountingServer(decide) as server:
        campaign(tmp_path, server, ROWS, processes=2)
        (tmp_path / "hello.txt").write_text("Hello {{ name }}")
        text = (tmp_path / "campaign.toml").read_text().replace('text = "Hello"', 'text_file = "hello.txt"')
        (tmp_path / "campaign.toml").write_text(text)
        sent = load(tmp_path / "campaign.toml")
        with anyio.fail_after(GUARD), pytest.raises(RunError, match=r"hello\.txt"):
            await Batch(sent).run()
    accepted = [line for line in log(tmp_path)[1] if line["status"] == "accepted"]
    assert len(accepted) == len(server.accepted)


@pytest.mark.parametrize("turns", range(24))
def test_a_process_that_is_being_started_when_the_run_is_cancelled_is_waited_for(tmp_path: Path, turns: int) -> None:
    """One that nobody has waited for says so as it is freed: a warning, which fails this test."""

    async def main() -> None:
        async with CountingServer(well_behaved) as server:
            made_by = recipe(campaign(tmp_path, server))
        with anyio.CancelScope() as scope:
            async with (
                Composing(made_by, made_by.composer(), 1).open() as composing,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(composing.compose, records(1))
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

    asyncio.run(main())  # the loop ends with it
    gc.collect()


async def test_what_is_large_comes_in_parts_and_in_order(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        big = [
            Record(number, number, {"email": f"r{number}@example.com", "name": "x" * MOST_OCTETS}) for number in (1, 2)
        ]
        async with Composing(recipe(sent), recipe(sent).composer(), 1).open() as composing:
            first = await composing.compose(big)
        assert [one.record for one in first if isinstance(one, Submission)] == [1]


async def test_the_form_in_ascii_has_the_same_date_and_message_id(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        text = (tmp_path / "campaign.toml").read_text().replace('text = "Hello"', 'text = "Grüße {{ name }}"')
        (tmp_path / "campaign.toml").write_text(text)
        sent = load(tmp_path / "campaign.toml")
        async with Composing(recipe(sent), recipe(sent).composer(), 1).open() as composing:
            (made,) = await composing.compose(records(1))
    assert isinstance(made, Submission)
    assert made.seven_bit is not None
    ascii_form = made.seven_bit()
    assert ascii_form.isascii()
    assert not made.content.isascii()
    for name in (b"Date", b"Message-ID"):
        (one,), (other,) = (re.findall(rb"(?m)^" + name + rb": .*$", text) for text in (made.content, ascii_form))
        assert one == other


async def test_a_record_without_a_message_says_why(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        async with Composing(recipe(sent), recipe(sent).composer(), 1).open() as composing:
            (said,) = await composing.compose([Record(1, 1, {"email": "nobody", "name": "x"})])
        with pytest.raises(RecordError) as error:
            recipe(sent).composer().compose(Record(1, 1, {"email": "nobody", "name": "x"}))
    assert said == error.value.message


@pytest.mark.parametrize(
    ("wanted", "seconds", "left", "cores", "count"),
    [
        (1, 1.0, None, 4, 0),
        (3, 0.0, 0, 4, 3),
        ("auto", 30e-6, 10**6, 4, 0),
        ("auto", 400e-6, 10**6, 4, 4),
        ("auto", 400e-6, None, 4, 4),
        ("auto", 400e-6, 1000, 4, 0),
        ("auto", 400e-6, 4000, 4, 4),
        ("auto", 1.0, 10**6, 1, 0),
        ("auto", 1.0, 10**6, 2, 2),
    ],
)
def test_how_many_processes_there_are(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, seconds: float, left: int | None, cores: int, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert processes_for(wanted, seconds, left) == count


@pytest.mark.parametrize(("cores", "count"), [(4, 4), (None, 0)])
def test_where_it_is_not_said_which_cores_a_process_has_all_of_them_count(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, count: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert processes_for("auto", 1.0, None) == count


async def test_what_the_first_message_costs_and_what_others_take_is_not_what_messages_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first one comes what is loaded when it is needed: it says nothing of how long the others take."""
    computed, told = 0.0, list[float]()
    list_of_people = tmp_path / "people.csv"
    list_of_people.write_text("email,name\n" + ROWS)

    class Costly:
        def compose(self, row: Record) -> Submission:
            nonlocal computed
            computed += 10.0 if row.number == 1 else 20e-6
            return composer.compose(row)

    async def hand_over(batch: list[Submission]) -> None:
        nonlocal computed
        computed += 1.0

    async with CountingServer(well_behaved) as server:
        composer = recipe(campaign(tmp_path, server)).composer()
    monkeypatch.setattr(time, "thread_time", lambda: computed)
    with open_records(list_of_people) as reader:
        made: Any = Costly()
        admission = Admission(Suppression())
        await Producer(reader, made, admission, report=lambda _: None, beside=told.append).run(hand_over)
    assert told == [pytest.approx(20e-6)]


class Talkative:
    """A recipe whose composer prints what it composes."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def composer(self) -> Talkative:
        self.inner = self.recipe.composer()
        return self

    def compose(self, record: Record, *, at: int) -> Submission:
        print("composing", record.number, flush=True)
        return self.inner.compose(record, at=at)


async def test_what_is_printed_where_messages_are_composed_is_taken_for_no_answer(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        talkative: Any = Talkative(recipe(sent))
        async with Composing(talkative, recipe(sent).composer(), 1).open() as composing:
            with anyio.fail_after(GUARD):
                made = await composing.compose(records(3))
    assert [one.record for one in made if isinstance(one, Submission)] == [1, 2, 3]


async def test_a_message_is_described_as_if_the_run_had_composed_it_itself(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        composer = recipe(sent).composer()
        async with Composing(recipe(sent), composer, 1).open() as composing:
            (made,) = await composing.compose(records(1))
    own = composer.compose(records(1)[0])
    assert isinstance(made, Submission)
    assert (made.record, made.envelope, made.canonical) == (own.record, own.envelope, own.canonical)
    assert (made.eight_bit, made.attempt) == (own.eight_bit, own.attempt)


def test_a_process_whose_run_is_gone_ends_and_says_nothing(tmp_path: Path) -> None:
    sent = Campaign(
        path=tmp_path / "campaign.toml",
        directory=tmp_path,
        recipients=tmp_path / "recipients.csv",
        results=tmp_path / "results.jsonl",
        servers=(Server(host="127.0.0.1", port=9, tls="none"),),
        message=Message(from_="a@example.com", subject="s", text="t"),
    )
    with subprocess.Popen(
        [sys.executable, "-m", "batchsend.run.composer_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        told = pickle.dumps(recipe(sent))
        process.stdin.write(LENGTH.pack(len(told)) + told)
        process.stdin.flush()
        assert (process.communicate(timeout=GUARD)[1], process.returncode) == (b"", 0)


class Messages:
    """A run's messages that one process composes.

    Args:
        folder: Where the run is.
        sent: Its campaign.
        rows: Its list, with a header.

    Attributes:
        groups: The records that were handed over, together or not.
        breathed: How often the run has let others have their turn.
    """

    def __init__(self, folder: Path, sent: Campaign, rows: str) -> None:
        self.groups: list[list[int]] = []
        self.breathed = 0
        self._list = folder / "people.csv"
        self._list.write_text(rows)
        self._recipe = recipe(sent)

    async def hand_over(self, look: Callable[[int], None] = lambda _: None) -> None:
        """Hand them over.

        Args:
            look: Called after each reading of the list, with how many records were read; it may raise.
        """

        async def hand_over(batch: list[Submission]) -> None:
            self.groups.append([one.record for one in batch])

        async def breathe() -> None:
            self.breathed += 1
            await anyio.lowlevel.checkpoint()

        async def looks() -> None:
            look(reader.given)

        composer = self._recipe.composer()
        with open_records(self._list) as reader, anyio.fail_after(GUARD):
            await Producer(
                reader,
                composer,
                Admission(Suppression()),
                report=print,
                beside=lambda _: Composing(self._recipe, composer, 1),
                look=looks,
                breathe=breathe,
            ).run(hand_over)

    @property
    def records(self) -> list[int]:
        """All that were handed over, in this order."""
        return [record for group in self.groups for record in group]


async def test_large_messages_are_each_handed_over_once_and_in_order_and_others_have_their_turn(tmp_path: Path) -> None:
    """Of a block that is asked for, one answer holds a part."""
    async with CountingServer(well_behaved) as server:
        long = "x" * 200_000
        rows = "".join(f"r{number}@example.com,{long if 70 <= number < 80 else 'N'}\n" for number in range(1, 201))
        messages = Messages(tmp_path, campaign(tmp_path, server), f"email,name\n{rows}")
        await messages.hand_over()
    assert messages.records == list(range(1, 201))
    assert max(map(len, messages.groups)) > 10
    assert messages.breathed > 0


async def test_a_list_that_cannot_be_read_further_ends_the_run_when_what_was_read_is_handed_over(
    tmp_path: Path,
) -> None:
    def look(given: int) -> None:
        if given > 200:
            raise RunError("the list was written to")

    async with CountingServer(well_behaved) as server:
        messages = Messages(tmp_path, campaign(tmp_path, server), f"email,name\n{ROWS}")
        with pytest.raises(RunError, match="the list was written to"):
            await messages.hand_over(look)
    assert messages.records == list(range(1, len(messages.records) + 1))
    assert 65 < len(messages.records) <= 200
