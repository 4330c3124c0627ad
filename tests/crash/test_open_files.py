"""Too few open files, at every number of them: an error or fewer sessions, and in the end everybody got it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.house import address, house

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("files", [*range(13, 22), 24, 28])
async def test_with_too_few_open_files_nobody_is_lost_or_gets_it_twice(tmp_path: Path, files: int) -> None:
    async with house(tmp_path, records=60, delivery="max_connections = 10\nmax_messages = 5") as built:
        code, said = await built.send_with_open_files(files)
        assert "max_connections =" not in said, "this machine's limit was taken for the server's"
        if code == 0 and files < 24:
            assert "this machine opens no more connections: Too many open files" in said
            assert "going on with" in said
        if code != 0:
            begun = built.results.exists() and built.results.stat().st_size > 0
            assert await (built.resume() if begun else built.send()) == 0
        assert built.taken == {address(record): 1 for record in range(1, 61)}
        assert built.last == dict.fromkeys(range(1, 61), "accepted")
