"""A campaign on the command line, and a relay that refuses in given words, together on a loop whose clock jumps."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cli.commandline import Ended, invoke, make_campaign
from tests.delivery.harness import CountingServer
from tests.tools.faulty import ACCEPT, Action, Then, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeVar

    import pytest

    from batchsend import Stage
    from tests.tools.virtual import VirtualLoop

    _Relay = TypeVar("_Relay", bound="LimitedRelay")

DOMAINS = ("one.example.com", "two.example.com", "three.example.net", "four.example.org")


def recipients(count: int) -> list[str]:
    """So many addresses, in turns in each of the domains."""
    return [f"r{number}@{DOMAINS[number % len(DOMAINS)]}" for number in range(1, count + 1)]


def refusal(text: str) -> Action:
    """The action that refuses with a reply as it stands in a table: its lines divided by `` / ``."""
    code, _, words = text.partition(" ")
    lines = words.split(" / ")
    said = "".join(f"{code}-{line}\r\n" for line in lines[:-1]) + f"{code} {lines[-1]}\r\n"
    return say(said.encode(), then=Then.CLOSE if code == "421" else Then.GO_ON)


class LimitedRelay(CountingServer):
    """Takes mail until it refuses, as ``refuses`` says.

    Args:
        refuses: Asked at each stage of each offer: the connection's number, the transaction's, the stage; whether to
            refuse.
        says: The words.

    Attributes:
        lifted: Nothing is refused any more.
        refused: How many times something was.
    """

    def __init__(self, refuses: Callable[[int, int, Stage], bool], says: str, *, chunking: bool = True) -> None:
        super().__init__(self._decide, chunking=chunking)
        self.lifted = False
        self.refused = 0
        self._refuses = refuses
        self._says = refusal(says)

    @property
    def taken(self) -> Counter[str]:
        """How often each recipient's message was taken: the server's own account."""
        return Counter(recipient for message in self.accepted for recipient in message.recipients)

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del recipient
        if self.lifted or not self._refuses(connection, transaction, stage):
            return ACCEPT
        self.refused += 1
        return self._says


class Commands:
    """The command line in this process, on the test's own loop.

    Args:
        loop: Where commands and servers run.
        folder: Where the campaign is.
        capsys: What takes down what is said.
        monkeypatch: What has the commands run on the loop.
    """

    def __init__(
        self, loop: VirtualLoop, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.loop = loop
        self.log = folder / "results.jsonl"
        self._folder = folder
        self._capsys = capsys
        monkeypatch.setattr("batchsend.cli.send.run", loop.run)
        monkeypatch.setattr("batchsend.cli.resume.run", loop.run)

    @contextmanager
    def serving(self, relay: _Relay) -> Iterator[_Relay]:
        """Have a relay listen on the loop."""
        self.loop.run_until_complete(relay.__aenter__())
        try:
            yield relay
        finally:
            self.loop.run_until_complete(relay.__aexit__(None, None, None))

    def campaign(self, relay: LimitedRelay, count: int, delivery: str) -> Path:
        """A campaign to so many recipients through the relay."""
        rows = "".join(f"{address},N\n" for address in recipients(count))
        path = make_campaign(self._folder, f"email,name\n{rows}", delivery=delivery)
        toml = path.read_text().replace(
            'host = "smtp.example.com"', f'host = "{relay.host}"\nport = {relay.port}\ntls = "none"'
        )
        path.write_text(toml)
        return path

    def send(self, campaign: Path, *options: str) -> Ended:
        """``batchsend send``."""
        return invoke(self._capsys, "send", campaign, "--results", self.log, "--no-progress", *options)

    def resume(self, *options: str) -> Ended:
        """``batchsend resume``."""
        return invoke(self._capsys, "resume", self.log, "--no-progress", *options)
