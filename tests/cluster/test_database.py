"""The connection to PostgreSQL: whatever is done on it ends in time, also where the server is silent."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import trustme

from batchsend.cluster import schema
from batchsend.cluster.database import ClusterError, Database, DatabaseGoneError
from batchsend.cluster.status import status
from batchsend.cluster.work import Worker
from tests.cluster.gate import Gate
from tests.cluster.house import GUARD, House, until, write_campaign
from tests.cluster.postgres import Postgres
from tests.servers.daemon import free_ports, private_directory
from tests.tools.faulty import ACCEPT, FaultyServer

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import Stage
    from batchsend.cluster.database import Connection
    from tests.tools.faulty import Action

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

_IN_TIME = 0.5


@pytest.mark.parametrize("last", ["a statement", "the commit"])
async def test_a_transaction_without_an_answer_is_given_up(shared_postgres: Postgres, last: str) -> None:
    """The driver rolls back a transaction that ends with an error, and that would wait for the server once more."""

    async with Gate(shared_postgres.port) as gate:
        database = Database(Postgres.url_at(gate.port))

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute("SELECT 1")
                gate.cut(from_database=True)
                if last == "a statement":
                    await connection.execute("SELECT 2")

        async with asyncio.timeout(GUARD):
            assert await database.call(lambda connection: connection.fetchval("SELECT 1")) == 1
            with pytest.raises(DatabaseGoneError, match="does not answer in time"):
                await database.call(work, seconds=_IN_TIME)
            gate.heal()
            assert await database.call(lambda connection: connection.fetchval("SELECT 3")) == 3
            await database.close()


@pytest.mark.parametrize("how", ["stopped", "cut off"])
async def test_who_is_away_in_the_midst_of_a_transaction_holds_nobody_up(
    house: House, tmp_path: Path, how: str
) -> None:
    """It has the campaign's row locked and says nothing more; neither its system nor the network ends its session."""
    locked = "SELECT FROM batchsend.campaigns FOR UPDATE SKIP LOCKED"
    away: list[str] = []

    def leave() -> None:
        away.append(how)
        if how == "stopped":
            first.send(signal.SIGSTOP)
        else:
            first.gate.cut(to_database=True)

    async with FaultyServer(lambda *_: ACCEPT) as server:
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 40), "--lot", "10")
        first = await house.work("--until-done")
        first.gate.when_in_transaction(3, leave)
        await house.until(lambda: bool(away), [first])
        while await house.sql(locked):
            assert not server.accepted, "its packet has not come there yet"
        second = await house.work("--until-done")
        await house.until(lambda: len(server.accepted) == 40, [second])
        first.send(signal.SIGCONT)
        first.gate.heal()
        for worker in (first, second):
            assert await worker.wait() == 0, worker.output.read_text()
    assert len(server.accepted) == 40


async def test_nothing_is_parsed_within_a_transaction(house: House, tmp_path: Path) -> None:
    """Between the two packets of a statement the server waits for a client without end, and what is locked stays so."""
    async with FaultyServer(lambda *_: ACCEPT) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 40, 'quota = "20/day"')
        await house.command("publish", campaign, "--lot", "10")
        worker = await house.work()
        url = Postgres.url_at(worker.gate.port)
        await house.until(lambda: len(server.accepted) == 20, [worker])
        for command in ("pause", "continue", "stop"):
            await house.command(command, "campaign", url=url)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl", url=url)
        await house.command("drop", "campaign", url=url)
        assert worker.gate.transactions >= 6
        assert worker.gate.parsed == []


async def test_the_server_asks_a_client_that_is_silent_whether_it_is_there(shared_postgres: Postgres) -> None:
    """Between the messages of a statement one that was cut off is not idle for the server, and would keep its locks."""

    async def settings(connection: Connection) -> dict[str, int]:
        rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name LIKE 'tcp_keepalives_%'")
        return {row["name"].removeprefix("tcp_keepalives_"): int(row["setting"]) for row in rows}

    database = Database(shared_postgres.url)
    found = await database.call(settings)
    await database.close()
    assert 1 <= found["idle"] + found["interval"] * found["count"] <= 15


async def test_of_a_database_without_tables_it_is_said_what_makes_them(shared_postgres: Postgres) -> None:
    """By a worker, and by a command that looks at them at once."""
    server = await asyncpg.connect(shared_postgres.url)
    try:
        await server.execute("CREATE DATABASE bare")
        database = Database(shared_postgres.url.replace("/postgres?", "/bare?"))
        for work in (schema.require, status):
            with pytest.raises(ClusterError, match="the database has no tables yet") as refused:
                await work(database)
            assert "batchsend cluster init" in str(refused.value.remedy)
        await database.close()
        await server.execute("DROP DATABASE bare WITH (FORCE)")
    finally:
        await server.close()


@pytest.mark.parametrize("where", ["url", "environment"])
async def test_which_of_several_servers_is_used_is_what_is_asked_for(
    shared_postgres: Postgres, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Without that it is one that takes writes; here one that takes none is asked for, and there is none."""
    url = Postgres.url_at(shared_postgres.port, shared_postgres.port)
    asked = "SELECT pg_is_in_recovery()"
    database = Database(url)
    assert await database.call(lambda connection: connection.fetchval(asked)) is False
    await database.close()
    if where == "url":
        url += "&target_session_attrs=standby"
    else:
        monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    with pytest.raises(DatabaseGoneError):
        await Database(url).call(lambda connection: connection.fetchval(asked))


async def test_where_a_server_takes_connections_and_answers_nothing_the_next_one_is_asked(
    shared_postgres: Postgres,
) -> None:
    async def work(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SELECT 1")

    async with Gate(shared_postgres.port) as one, Gate(shared_postgres.port) as two, asyncio.timeout(GUARD):
        database = Database(Postgres.url_at(one.port, two.port))
        await database.call(work)
        assert (one.transactions, two.transactions) == (1, 0)
        one.cut(from_database=True)
        with pytest.raises(DatabaseGoneError):
            await database.call(work, seconds=_IN_TIME)
        one.heal()
        await database.call(work)
        await database.close()
    assert two.transactions == 1


async def test_a_worker_that_is_told_to_stop_before_the_database_has_answered_ends_and_has_nothing_to_leave() -> None:
    said: list[str] = []

    def stop(notice: str) -> None:
        said.append(notice)
        worker.stop()

    worker = Worker(Postgres.url_at(*free_ports(1)), until_done=False, notice=stop)
    async with asyncio.timeout(GUARD):
        await worker.run()
    assert ["asked again for 30 s" in notice for notice in said] == [True]


async def test_that_the_database_is_asked_again_is_said_once() -> None:
    said: list[str] = []
    asked = 0

    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()
        if asked == 20:
            worker.stop()

    async with asyncio.timeout(GUARD), await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = Postgres.url_at(server.sockets[0].getsockname()[1])
        worker = Worker(url, lease=0.04, until_done=False, notice=said.append)  # it is asked 4 times in a lease
        await worker.run()
    assert ["asked again for 30 s" in notice for notice in said] == [True]


async def test_a_worker_that_is_told_to_stop_while_it_begins_a_campaign_does_not_send_it_to_its_end(
    house: House, shared_postgres: Postgres, tmp_path: Path
) -> None:
    holding = await asyncpg.connect(shared_postgres.url)
    try:
        async with FaultyServer(lambda *_: ACCEPT) as server, asyncio.timeout(GUARD):
            await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 400, 'rate = "5/s"'))
            worker = Worker(house.url, until_done=True)
            async with holding.transaction():
                await holding.execute("LOCK TABLE batchsend.files")
                working = asyncio.create_task(worker.run())
                while not await holding.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                worker.stop()
            await working
    finally:
        await holding.close()
    assert len(server.accepted) < 200


class Counted(dict[str, str]):
    """Variables of an environment, none of which there is.

    Attributes:
        looked_up: How often one was looked up.
    """

    looked_up = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.looked_up += 1
        return default


async def test_a_campaign_that_cannot_be_sent_from_here_is_not_tried_every_second(house: House, tmp_path: Path) -> None:
    environ = Counted()
    async with FaultyServer(lambda *_: ACCEPT) as server, asyncio.timeout(GUARD):
        wanting = write_campaign(tmp_path / "wanting", server.port, 5)
        text = wanting.read_text().replace(
            'tls = "none" }', 'tls = "none", username = "me", password = "${CLUSTER_TEST_PASSWORD}" }'
        )
        wanting.write_text(text)
        await house.command("publish", wanting)
        await house.command("publish", write_campaign(tmp_path / "sound", server.port, 20, 'rate = "8/s"'))
        worker = Worker(house.url, until_done=False, environ=environ)
        working = asyncio.create_task(worker.run())
        await until(lambda: len(server.accepted) >= 5, lambda: not working.done())
        assert (tried := environ.looked_up) > 0
        await until(lambda: len(server.accepted) == 20, lambda: not working.done())
        worker.stop()
        await working
    assert environ.looked_up == tried


async def test_a_worker_whose_last_outcome_cannot_be_stored_ends_all_the_same(house: House, tmp_path: Path) -> None:
    """It holds no lease any more then, for all of its lot has its outcome; the database is away for good."""

    def cut_off(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content":
            worker.gate.cut(to_database=True, from_database=True)
        return ACCEPT

    async with FaultyServer(cut_off) as server:
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 1))
        worker = await house.work("--lease", "2s")
        await until(lambda: len(server.accepted) == 1)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 3
    assert "it will be in doubt" in worker.output.read_text()


async def test_a_worker_that_may_not_store_what_it_does_ends_and_says_so(house: House, tmp_path: Path) -> None:
    """It may do everything else, so nothing but the store of the account fails."""
    await house.sql(
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA batchsend TO reader;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA batchsend TO reader;"
        "REVOKE INSERT ON batchsend.account FROM reader"
    )
    try:
        async with FaultyServer(lambda *_: ACCEPT) as server:
            campaign = write_campaign(tmp_path / "campaign", server.port, 3)
            await house.command("publish", campaign)
            worker = await house.work(user="reader")
            assert await worker.wait() == 2
            assert server.accepted == []
        assert "the database refuses us: permission denied for table account" in worker.output.read_text()
    finally:
        await house.sql("DROP OWNED BY reader; DROP ROLE reader")


async def test_tls_is_as_libpq_has_it(tmp_path: Path) -> None:
    """A server whose certificate is not signed by the authority that the URL names is not talked to."""
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    with private_directory("postgres-tls") as directory:
        certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
        (directory / "server.pem").chmod(0o600)
        if os.geteuid() == 0:
            for path in (directory, directory / "server.pem"):
                os.chown(path, 65534, 65534)  # whom `Postgres` runs as then
        files = [f"ssl_{kind}_file={directory / 'server.pem'}" for kind in ("cert", "key")]
        with Postgres("ssl=on", *files) as postgres:
            verified = f"postgresql://postgres@localhost:{postgres.port}/postgres?sslmode=verify-full&sslrootcert="
            house = House(postgres, tmp_path)
            assert "the tables are made" in await house.command("init", url=f"{verified}{tmp_path / 'ca.pem'}")
            said = await house.command("list", url=f"{verified}{tmp_path / 'other.pem'}", code=2)
            assert "certificate is not trusted" in said
            elsewhere = verified.replace("localhost", "127.0.0.1")
            said = await house.command("list", url=f"{elsewhere}{tmp_path / 'ca.pem'}", code=2)
            assert "certificate is not trusted" in said
            assert "127.0.0.1" in said, "it is another host's"
            asked = "SELECT count(*)::int FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl"
            database = Database(f"{verified}{tmp_path / 'ca.pem'}")
            assert await database.call(lambda connection: connection.fetchval(asked)) == 1
            await database.close()
