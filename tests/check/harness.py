"""Campaigns to look at, and what was found in them by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend.campaign import load
from batchsend.check import Finding, Section, Severity
from batchsend.check.lookup import Lookup
from batchsend.check.message import Seen
from batchsend.check.records import Counted, RecordsCheck
from batchsend.check.sender import SenderCheck, Signing
from tests.check.name_server import NameServer
from tests.cli.commandline import make_campaign

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.check.authentication import Authentication
    from tests.check.name_server import Zone

GUARD = 20.0
"""Seconds after which a test has failed."""


def kinds(*sections: Section) -> set[str]:
    """The kinds of all findings."""
    return {finding.kind for section in sections for finding in section.findings}


def found(kind: str, *sections: Section) -> Finding:
    """The one finding of a kind."""
    findings = [finding for section in sections for finding in section.findings if finding.kind == kind]
    if len(findings) != 1:
        pytest.fail(f"{len(findings)} findings of the kind {kind} among {sorted(kinds(*sections))}")
    assert findings[0].where
    assert findings[0].remedy or findings[0].severity is Severity.NOTE
    return findings[0]


def records_check(folder: Path, recipients: str = "", *, limit: int | None = None, **tables: str) -> RecordsCheck:
    """A check of a campaign's records, made and not yet run."""
    path = make_campaign(folder, recipients, **tables)
    return RecordsCheck(load(path, resolve_credentials=False), limit=limit)


def look_at(folder: Path, recipients: str = "", **tables: str) -> tuple[Section, Section]:
    """What is found in a campaign's records, and in their messages."""
    return records_check(folder, recipients, limit=None, **tables).run()


def bodies(folder: Path, html: str, *, recipients: str = "", **tables: str) -> set[str]:
    """The kinds of what is found in messages with this HTML."""
    (folder / "body.html").write_text(html)
    message = f'html_file = "body.html"\n{tables.pop("message", "")}'
    return kinds(look_at(folder, recipients, message=message, **tables)[1])


async def ask(
    zone: Zone,
    *signings: Signing,
    sender: str = "example.com",
    returning: tuple[str, ...] = (),
    seconds: float = 5.0,
) -> tuple[Section, Authentication]:
    """What is found in the DNS about a domain of From, and about the domains of the return path."""
    seen = Seen(from_domains=[sender], return_domains=list(returning or (sender,)))
    with anyio.fail_after(GUARD):
        async with NameServer(zone) as server:
            check = SenderCheck(seen, signings, Lookup(server.address, seconds))
            (section,), authentication = await check.run()
    return section, authentication


def counted(ready: int = 1000, largest: tuple[int, int] = (1000, 1), need_utf8: int = 0) -> Counted:
    """So many messages to send."""
    return Counted(records=ready, ready=ready, largest=largest, need_utf8=need_utf8)
