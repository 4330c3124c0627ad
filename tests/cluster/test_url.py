"""A URL of a database with which nothing can be reached is refused at once, with what to do; no server is needed."""

from __future__ import annotations

import pytest

from batchsend.cluster.database import ClusterError, Database


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me@localhost/mailer", "scheme is expected to be"),
        ("postgresql://me@localhost:99999/mailer", "Port out of range"),
        ("postgresql://me@one,two:99999/mailer", "Port out of range"),
        ("postgresql://me@[::1/mailer", "Invalid IPv6 URL"),
        ("postgresql://me@localhost/mailer?sslmode=surely", "sslmode"),
        ("postgresql://me@localhost/mailer?sslrootcert=nowhere.pem", "sslrootcert=nowhere.pem: No such file"),
    ],
)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_url_that_is_none_is_refused(url: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said) as refused:
        await Database(url).call(lambda connection: connection.fetchval("SELECT 1"))
    assert "\n" not in refused.value.message
    assert refused.value.remedy or "No such file" in said
