"""The scenarios: which contestants do which work, to which server, over how many connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contestants import Batchsend, Contestant, Imports, Nodemailer, PhpMailer, Program, SmtpSource
from benchmarks.job import NEVER
from benchmarks.settings import embedded_sinks, postfix_at, smtp_sink_and_rest, smtp_sink_at
from benchmarks.work import CATALOGUE, NEWSLETTER, NOTICE, SIGNED, STATEMENT, Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from benchmarks.job import Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant's part in a scenario.

    Attributes:
        name: What the tables call it.
        contestant: Who does the job.
        share: Its part of the scenario's messages: a slow one gets fewer, so that each run takes seconds.
        place: Which of the scenario's places it goes to.
        connections: How many sessions, where not the scenario's.
        depth: How many messages of a session may be unanswered.
        max_messages: After how many a session is rotated.
        sends: Whether it sends anything at all.
        rounds: In how many of the rounds it takes part; None for all.
        processes: How many processes compose; None for as many as a campaign has that does not say.
    """

    name: str
    contestant: Contestant
    share: float = 1.0
    place: str = "server"
    connections: int | None = None
    depth: int = 1
    max_messages: int = 100
    sends: bool = True
    rounds: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison.

    Attributes:
        name: What ``--only`` calls it.
        title: What is compared, for people.
        setting: Brings up the servers, and says where.
        messages: How many, for a contestant with a share of 1.
        connections: How many sessions at once.
        entries: Who takes part.
        work: What is sent.
        rounds: How often everybody runs.
        fixed: The number of messages is what the scenario is about: it is not to be changed.
    """

    name: str
    title: str
    setting: Callable[[], AbstractContextManager[dict[str, Place]]]
    messages: int
    connections: int
    entries: tuple[Entry, ...]
    work: Work = NOTICE
    rounds: int = 5
    fixed: bool = False


JOB = "batchsend"
READY_MADE = "batchsend, ready-made content, never rotating"
SMTP_SOURCE = "smtp-source (C, one fixed message)"
NODEMAILER = "Nodemailer, pool"
AIOSMTPLIB_EMAIL = "aiosmtplib, EmailMessage"
AIOSMTPLIB_BYTES = "aiosmtplib, ready-made bytes"
SMTPLIB_KEPT = "smtplib, kept open, MIMEMultipart"
SMTPLIB_EACH = "smtplib, a connection per message"
SMTPLIB_THREADS = "smtplib in threads, ready-made bytes"
PHPMAILER = "PHPMailer, SMTPKeepAlive"
AIOHTTP = "aiohttp, REST posts"
HTTPX = "httpx, REST posts"
NEVER_ROTATING = "batchsend, never rotating"
INTERPRETED = "batchsend, not compiled"
DEEP = "batchsend, depth 32"
DEEP_NEAR = "batchsend, depth 32, no distance"
LOGGED = "batchsend, journal and log"
UNLOGGED = "batchsend, no journal and log"
TLS = "batchsend, TLS"
FEW = "batchsend, 10,000 records"
MANY = "batchsend, 1,000,000 records"
RSA = "batchsend, signed by RSA-2048"
RSA_ONE = "batchsend, signed by RSA-2048, one process"
ONE = "batchsend, one record"
SERVICE = "batchsend, one Sender for 200 callers"
SERVICE_TEMPLATE = "batchsend, one Sender for 200 callers who render a Template"
SERVICE_AIOSMTPLIB = "aiosmtplib, a connection for each of 200 callers"
DJANGO = "batchsend.django"
DJANGO_SMTP = "Django's SMTP backend"
IMPORTS = "python -c 'import aiosmtplib, jinja2, orjson'"

_JOB = Entry(JOB, Batchsend())
_AIOHTTP = Program("aiohttp_posts", "aiohttp")
_HTTPX = Program("httpx_posts", "httpx")


def _rest(connections: int) -> tuple[Entry, ...]:
    return (
        Entry(f"{JOB}, {plural(connections)}", Batchsend(), connections=connections),
        Entry(f"{AIOHTTP}, {plural(connections)}", _AIOHTTP, share=0.2, place="rest", connections=connections),
        Entry(f"{HTTPX}, {plural(connections)}", _HTTPX, share=0.05, place="rest", connections=connections),
    )


def plural(connections: int) -> str:
    """The number with its noun."""
    return f"{connections} connection{'' if connections == 1 else 's'}"


def _size(name: str, work: Work, octets: int, messages: int) -> Scenario:
    return Scenario(
        name,
        f"{octets:,} octets, to smtp-sink on loopback",
        smtp_sink_and_rest,
        messages,
        20,
        (
            _JOB,
            Entry(SMTP_SOURCE, SmtpSource(octets)),
            Entry(NODEMAILER, Nodemailer(), share=0.2),
            Entry(AIOSMTPLIB_EMAIL, Program("aiosmtplib_email"), share=0.1),
        ),
        work=work,
        rounds=3,
    )


def _django(milliseconds: int) -> Scenario:
    return Scenario(
        f"django-{milliseconds}",
        f"Django's send_mass_mail of 2,000, to smtp-sink {milliseconds} ms away",
        smtp_sink_at(milliseconds / 1000),
        2_000,
        5,
        (
            Entry(DJANGO, Program("django_batchsend", "django")),
            # It takes four or five round trips for each message, one after the other: a few seconds' work.
            Entry(DJANGO_SMTP, Program("django_smtp", "django"), share=max(0.03, 0.25 / milliseconds)),
        ),
    )


def _distance(milliseconds: int, messages: int, seconds: int, rounds: int) -> Scenario:
    # What is so many seconds' work with one round trip a message, so that beginning and end count little; and for a
    # rival, with four or five round trips, less than half of that.
    work = seconds * 5 / (milliseconds / 1000)
    return Scenario(
        f"distance-{milliseconds}",
        f"a real Postfix, {milliseconds} ms away",
        postfix_at(milliseconds / 1000),
        messages,
        5,
        (
            Entry(JOB, Batchsend(), share=work / messages),
            # One session at a time is opened beside those that send. At this depth one is through with a hundred
            # messages before the next is open: what is to be seen here is the depth.
            Entry(DEEP, Batchsend(), depth=32, max_messages=NEVER),
            Entry(DEEP_NEAR, Batchsend(), depth=32, max_messages=NEVER, place="near"),
            Entry(NODEMAILER, Nodemailer(), share=work / messages / 12),
        ),
        rounds=rounds,
    )


SCENARIOS = (
    Scenario(
        "loopback",
        "2 KB, to smtp-sink on loopback, REST to nginx",
        smtp_sink_and_rest,
        100_000,  # four seconds' work: a longer run is disturbed too often, in a shorter one the start counts too much
        20,
        (
            _JOB,
            Entry(NEVER_ROTATING, Batchsend(), max_messages=NEVER, rounds=3),
            Entry(INTERPRETED, Batchsend(compiled=False), share=0.7, rounds=3),
            Entry(READY_MADE, Program("sender"), share=0.8, max_messages=NEVER),
            Entry(SMTP_SOURCE, SmtpSource(2000), share=0.8),
            Entry(AIOSMTPLIB_BYTES, Program("aiosmtplib_bytes"), share=0.08),
            Entry(AIOSMTPLIB_EMAIL, Program("aiosmtplib_email"), share=0.012),
            Entry(SMTPLIB_THREADS, Program("smtplib_threads"), share=0.04),
            Entry(SMTPLIB_KEPT, Program("smtplib_kept"), share=0.01),
            Entry(SMTPLIB_EACH, Program("smtplib_each"), share=0.008),
            Entry(NODEMAILER, Nodemailer(), share=0.032),
            Entry(PHPMAILER, PhpMailer(), share=0.0004, rounds=3),
            Entry(AIOHTTP, _AIOHTTP, share=0.08, place="rest"),
            Entry(HTTPX, _HTTPX, share=0.012, place="rest"),
        ),
    ),
    Scenario(
        "rest",
        "2 KB, SMTP to smtp-sink and REST to nginx, over few connections",
        smtp_sink_and_rest,
        10_000,
        5,
        (*_rest(1), *_rest(5)),
        rounds=3,
    ),
    _size("20KB", NEWSLETTER, 20_000, 10_000),
    _size("200KB", CATALOGUE, 200_000, 1_500),
    Scenario(
        "statement",
        "fifty-seven substitutions, half of the records beyond ASCII, to smtp-sink on loopback",
        smtp_sink_and_rest,
        60_000,  # as on loopback, enough for the program's start to count little
        20,
        (
            _JOB,
            Entry(SMTP_SOURCE, SmtpSource(2000)),
            Entry(NODEMAILER, Nodemailer(), share=0.05),
            Entry(AIOSMTPLIB_EMAIL, Program("aiosmtplib_email"), share=0.017),
        ),
        work=STATEMENT,
    ),
    Scenario(
        "signed",
        "2 KB, each message signed by RSA-2048, to smtp-sink on loopback",
        smtp_sink_and_rest,
        15_000,
        20,
        (Entry(RSA, Batchsend()), Entry(RSA_ONE, Batchsend(), processes=1)),
        work=SIGNED,
    ),
    _distance(10, 4_000, seconds=8, rounds=3),
    _distance(50, 25_000, seconds=20, rounds=5),
    _distance(200, 4_000, seconds=12, rounds=3),
    Scenario(
        "rotation",
        "STARTTLS and AUTH, a real Postfix, 50 ms away",
        postfix_at(0.05),
        1_250,
        5,
        (
            Entry(JOB, Batchsend(), place="secure"),
            Entry(NEVER_ROTATING, Batchsend(), place="secure", max_messages=NEVER),
        ),
    ),
    Scenario(
        "tls",
        "2 KB, to the embedded sink on loopback",
        embedded_sinks,
        30_000,
        20,
        (_JOB, Entry(TLS, Batchsend(), place="tls")),
    ),
    Scenario(
        "journal",
        "what journal and results log cost, to smtp-sink on loopback",
        smtp_sink_and_rest,
        40_000,
        20,
        (Entry(LOGGED, Batchsend(compiled=False)), Entry(UNLOGGED, Batchsend(logged=False))),
    ),
    Scenario(
        "constant",
        "from ten thousand records to a million, to smtp-sink on loopback; the interpreter's start not counted",
        smtp_sink_and_rest,
        1_000_000,
        20,
        (
            Entry(FEW, Batchsend(running=True), share=0.01),
            Entry(MANY, Batchsend(running=True), rounds=5),
        ),
        rounds=9,
    ),
    Scenario(
        "service",
        "10,000 single messages from 200 concurrent callers, to smtp-sink on loopback",
        smtp_sink_and_rest,
        10_000,
        20,
        (
            Entry(SERVICE, Program("service_sender")),
            # As aiosmtplib keeps its connections.
            Entry(NEVER_ROTATING, Program("service_sender"), max_messages=NEVER),
            Entry(SERVICE_TEMPLATE, Program("service_template")),
            Entry(SERVICE_AIOSMTPLIB, Program("service_aiosmtplib"), connections=200),
        ),
    ),
    _django(1),
    _django(20),
    Scenario(
        "start",
        "one record, to smtp-sink on loopback",
        smtp_sink_and_rest,
        1,
        1,
        (Entry(ONE, Batchsend()), Entry(IMPORTS, Imports(), sends=False)),
        rounds=10,
        fixed=True,
    ),
)
