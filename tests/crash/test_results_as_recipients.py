"""A results log as the recipients file of another campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend import Stage
from tests.crash.house import address, house
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_last_line_of_each_record_is_chosen_by_outcome_or_code_and_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    offered: list[str | None] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and server_is_bad:
            offered.append(recipient)
            if recipient in (address(2), address(4)):
                return refuse(550, "5.1.1 unknown")
            if recipient == address(5):
                return refuse(554, "5.7.1 policy")
            if recipient == address(7):
                return refuse(451) if offered.count(recipient) == 1 else ACCEPT
        return ACCEPT

    server_is_bad = True
    delivery = 'max_connections = 1\nretry_after = "10ms"'  # the lines of the log are in the order of the records
    async with house(tmp_path, records=8, decide=decide, delivery=delivery) as built:
        # The fields of a log are not those of the recipients file.
        built.campaign.write_text(built.campaign.read_text().replace("{{ email }}", "you"))
        assert await built.send() == 1
        server_is_bad = False
        built.server.accepted.clear()
        second = tmp_path / "second.jsonl"
        arguments = ("--recipients", str(built.results), "--results", str(second))

        assert await built.send(*arguments) == 2
        assert "results.jsonl is a results log: which of its records are meant?" in built.output
        assert await built.send(*arguments, "--only", "delivered") == 2
        assert "--only delivered: there is no such outcome or code" in built.output
        assert await built.send("--only", "rejected", "--results", str(second)) == 2
        assert "--only, or only= in Python, is for results logs" in built.output
        assert not built.taken

        assert await built.send(*arguments, "--only", "rejected", "--limit", "2") == 0
        assert built.taken == {address(2): 1, address(4): 1}
        assert await built.run("resume", second) == 0
        assert built.taken == {address(2): 1, address(4): 1, address(5): 1}

        built.server.accepted.clear()
        assert await built.send(*arguments[:2], "--results", str(tmp_path / "third.jsonl"), "--only", "5.1") == 0
        assert built.taken == {address(2): 1, address(4): 1}

        built.server.accepted.clear()
        fourth = str(tmp_path / "fourth.jsonl")
        assert await built.send(*arguments[:2], "--results", fourth, "--only", "accepted", "--only", "deferred") == 0
        assert built.taken == {address(record): 1 for record in (1, 3, 6, 7, 8)}
