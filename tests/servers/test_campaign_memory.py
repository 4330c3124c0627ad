"""Memory does not grow with the campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.command import CampaignFolder
from tests.servers.relay_tables import plain
from tests.servers.smtp_sink import SmtpSink

if TYPE_CHECKING:
    from pathlib import Path

_FEW = 10_000
_MANY = 100_000


def _peak_memory(directory: Path, count: int) -> int:
    """Send so many messages, each of its own, and return the process's largest resident set in KiB."""
    directory.mkdir()
    with (directory / "recipients.jsonl").open("w") as file:
        file.writelines(
            f'{{"email": "reader{number}@example.com", "name": "Reader {number}", "token": "{number:032x}"}}\n'
            for number in range(count)
        )
    folder = CampaignFolder(directory)
    with SmtpSink() as sink:
        folder.write(
            top={"recipients": "recipients.jsonl", "results": "results.jsonl"},
            server=plain(sink.port),
            message={
                "from": "hello@mail.example.com",
                "to": "{{ name }} <{{ email }}>",
                "subject": "Welcome, {{ name }}",
                "text": "Hello {{ name }}, your token is {{ token }}.\n",
                "html": "<p>Hello {{ name }}, your token is {{ token }}.</p>\n",
            },
            delivery={"max_connections": 20},
        )
        ended, peak = folder.peak_memory()
        assert ended.code == 0, ended.errors
        assert sink.message_count() == count
    assert folder.results.read_bytes().count(b'"status":"accepted"') == count
    return peak


def test_ten_times_the_records_take_no_more_memory(tmp_path: Path) -> None:
    few, many = _peak_memory(tmp_path / "few", _FEW), _peak_memory(tmp_path / "many", _MANY)
    assert abs(many - few) < 10 * 1024, f"{few} KiB for {_FEW:,} records, {many} KiB for {_MANY:,}"
    assert many < 80 * 1024
