"""Relays' webhooks: known by what each relay signs, tied to records, and nothing that is not signed counts."""

from __future__ import annotations

import asyncio
import base64
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

from batchsend.errors import UsageError
from batchsend.feedback.webhooks import RELAYS
from batchsend.listen.signatures import SECRETS, HookVerifier, configured, is_of_sns
from batchsend.listen.web import MOST_POSTED, application, fetched
from tests.cli.commandline import serving
from tests.feedback.letters import RUN, lines_of
from tests.listen.signed import SignedRun
from tests.tools.certificates import issue
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, ReadToEnd, Send, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.tools.steps import Step

Headers = dict[str, str]

SENDGRID = ec.generate_private_key(ec.SECP256R1())
SNS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:bounces"
WEBHOOK = "whsec_" + base64.b64encode(bytes(range(24))).decode()
SECRET = {
    "brevo": "a-token-of-brevo",
    "mailgun": "key-0123456789abcdef",
    "mailjet": "user:a-password",
    "postmark": "user:another-password",
    "resend": WEBHOOK,
    "sendgrid": base64.b64encode(
        SENDGRID.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode(),
    "ses": TOPIC,
    "sparkpost": "a-token-of-sparkpost",
}
MESSAGE_ID = f"{RUN}.1@mail.example.com"
REFUSAL = "550 5.1.1 <anna@example.org>: Recipient address rejected: User unknown"


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(SNS.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    return built.sign(SNS, hashes.SHA256()).public_bytes(Encoding.PEM)


def notification(inner: dict[str, Any], *, version: str = "2", **changed: str) -> dict[str, str]:
    """What SNS posts, signed after ``changed`` was laid over it."""
    fields = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": orjson.dumps(inner).decode(),
        "Timestamp": "2026-11-27T09:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **changed,
    }
    names = ["Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type"]
    signed = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = SNS.sign(signed.encode(), padding.PKCS1v15(), algorithm)
    return {**fields, "Signature": base64.b64encode(signature).decode()}


def basic(credentials: str) -> Headers:
    return {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def posted(relay: str, document: Any) -> tuple[Headers, bytes]:
    """A request as the relay makes it, signed."""
    if relay == "ses":
        return {}, orjson.dumps(notification(document) if "Type" not in document else document)
    if relay == "mailgun":
        mac = hmac.digest(SECRET["mailgun"].encode(), b"1795770000" + b"t" * 50, "sha256").hex()
        document = {"signature": {"timestamp": "1795770000", "token": "t" * 50, "signature": mac}, **document}
    body = orjson.dumps(document)
    if relay == "sendgrid":
        signature = SENDGRID.sign(b"1795770000" + body, ec.ECDSA(hashes.SHA256()))
        prefix = "X-Twilio-Email-Event-Webhook"
        return {f"{prefix}-Signature": base64.b64encode(signature).decode(), f"{prefix}-Timestamp": "1795770000"}, body
    if relay == "resend":
        now = datetime.now(UTC)
        signature_text = Webhook(WEBHOOK).sign("msg_1", now, body.decode())
        return {"svix-id": "msg_1", "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature_text}, body
    if relay == "mailgun":
        return {}, body
    if relay == "brevo":
        return {"Authorization": f"Bearer {SECRET['brevo']}"}, body
    if relay == "sparkpost":
        return {"X-MessageSystems-Webhook-Token": SECRET["sparkpost"]}, body
    return basic(SECRET[relay]), body


BOUNCES: dict[str, Any] = {
    "brevo": {
        "event": "hard_bounce",
        "email": "anna@example.org",
        "message-id": f"<{MESSAGE_ID}>",
        "reason": REFUSAL,
        "ts_event": 1795770000,
    },
    "mailgun": {
        "event-data": {
            "event": "failed",
            "severity": "permanent",
            "recipient": "anna@example.org",
            "timestamp": 1795770000.25,
            "delivery-status": {"code": 550, "message": REFUSAL.removeprefix("550 "), "mx-host": "mx.example.org"},
            "message": {"headers": {"message-id": MESSAGE_ID}},
        }
    },
    "mailjet": [
        {
            "event": "bounce",
            "time": 1795770000,
            "email": "anna@example.org",
            "hard_bounce": True,
            "error_related_to": "recipient",
            "error": "user unknown",
            "comment": "",
        }
    ],
    "postmark": {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "Email": "anna@example.org",
        "Details": f"smtp;{REFUSAL}",
        "BouncedAt": "2026-11-27T09:00:00.1234567Z",
    },
    "resend": {
        "type": "email.bounced",
        "created_at": "2026-11-27T09:00:00.000Z",
        "data": {
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "to": ["anna@example.org"],
            "bounce": {"message": REFUSAL, "type": "Permanent", "subType": "General"},
        },
    },
    "sendgrid": [
        {
            "event": "bounce",
            "email": "anna@example.org",
            "timestamp": 1795770000,
            "smtp-id": f"<{MESSAGE_ID}>",
            "reason": REFUSAL,
            "status": "5.1.1",
            "type": "bounce",
            "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        },
        {"event": "open", "email": "anna@example.org", "timestamp": 1795770001},
    ],
    "ses": {
        "notificationType": "Bounce",
        "mail": {"messageId": "0102018f-aaaa-bbbb", "source": "news@mail.example.com"},
        "bounce": {
            "bounceType": "Permanent",
            "timestamp": "2026-11-27T09:00:00.000Z",
            "reportingMTA": "dns; mx.example.org",
            "bouncedRecipients": [
                {"emailAddress": "anna@example.org", "status": "5.1.1", "diagnosticCode": f"smtp; {REFUSAL}"}
            ],
        },
    },
    "sparkpost": [
        {
            "msys": {
                "message_event": {
                    "type": "bounce",
                    "raw_rcpt_to": "anna@example.org",
                    "raw_reason": REFUSAL,
                    "bounce_class": "10",
                    "timestamp": "1795770000",
                    "message_id": "000443ee14578172be22",
                }
            }
        }
    ],
}


class Hooks:
    """The listener with all relays, and what it has asked for and said."""

    def __init__(self, folder: Path, secrets: dict[str, str] | None = None) -> None:
        self.signed = SignedRun(folder)
        self.said: list[str] = []
        self.asked: list[str] = []
        run = self.signed.listened()
        verifier = HookVerifier(SECRET if secrets is None else secrets, self.fetch)
        app = application([run], verifier, notice=self.said.append, visit=self.fetch)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://lists.example.com")

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return certificate()

    async def post(self, relay: str, document: Any) -> int:
        headers, body = posted(relay, document)
        return (await self.http.post(f"/hooks/{relay}", headers=headers, content=body)).status_code

    def lines(self) -> list[dict[str, object]]:
        return lines_of(self.signed.log)


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path)


def test_each_relay_has_an_example_here() -> None:
    assert set(BOUNCES) == set(RELAYS) == set(SECRETS) == set(SECRET)


@pytest.mark.parametrize("relay", sorted(BOUNCES))
async def test_a_bounce_is_tied_and_kept_once(hooks: Hooks, relay: str) -> None:
    assert [await hooks.post(relay, BOUNCES[relay]) for _ in range(2)] == [200, 200]
    (line,) = hooks.lines()
    assert (line["record"], line["recipient"], line["kind"]) == (1, "anna@example.org", "bounced")
    assert (line["hard"], line["reason"], line["source"]) == (True, "unknown_mailbox", relay)
    assert str(line["time"]).startswith("2026-11-27T09:00:00")


@pytest.mark.parametrize("relay", sorted(BOUNCES))
async def test_what_is_not_signed_is_refused(hooks: Hooks, relay: str) -> None:
    headers, body = posted(relay, BOUNCES[relay])
    changed = body.replace(b"anna@example.org", b"bert@example.org")
    forged = [({}, changed), (headers, changed)] if relay in ("sendgrid", "resend", "ses") else [({}, body)]
    if relay == "mailgun":
        forged = [
            ({}, orjson.dumps({**BOUNCES[relay], "signature": {"timestamp": "1", "token": "t", "signature": ""}}))
        ]
        forged += [({}, orjson.dumps({**BOUNCES[relay], "signature": None})), ({}, orjson.dumps(BOUNCES[relay]))]
    if "Authorization" in headers:
        forged += [
            (basic("user:wrong"), body),
            ({"Authorization": "Bearer x"}, body),
            ({"Authorization": "Basic"}, body),
        ]
    for one_headers, one_body in forged:
        answer = await hooks.http.post(f"/hooks/{relay}", headers=one_headers, content=one_body)
        assert answer.status_code == 403
    assert hooks.lines() == []
    assert all(said.startswith(f"a webhook of {relay} was refused: ") for said in hooks.said)


async def test_a_signature_of_mailguns_is_good_for_one_event(hooks: Hooks) -> None:
    """It signs a number that it has drawn, and not the event."""
    _, body = posted("mailgun", BOUNCES["mailgun"])
    answers = [await hooks.http.post("/hooks/mailgun", content=one) for one in (body, body)]
    changed = body.replace(b"anna@example.org", b"bert@example.org").replace(b".1@mail", b".2@mail")
    answers.append(await hooks.http.post("/hooks/mailgun", content=changed))
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert len(hooks.lines()) == 1


async def test_complaints_and_unsubscribes(hooks: Hooks) -> None:
    events: dict[str, Any] = {
        "brevo": {"event": "spam", "email": "anna@example.org"},
        "mailgun": {"event-data": {"event": "complained", "recipient": "bert@example.org"}},
        "mailjet": {"event": "unsub", "email": "carl@example.net"},
        "sendgrid": [{"event": "spamreport", "email": "carl@example.net"}],
        "postmark": {
            "RecordType": "SubscriptionChange",
            "Recipient": "bert@example.org",
            "SuppressSending": True,
            "SuppressionReason": "ManualSuppression",
        },
        "sparkpost": [{"msys": {"unsubscribe_event": {"type": "list_unsubscribe", "rcpt_to": "anna@example.org"}}}],
        "resend": {"type": "email.complained", "data": {"to": ["anna@example.org"]}},
        "ses": {
            "notificationType": "Complaint",
            "mail": {"messageId": "x"},
            "complaint": {"complainedRecipients": [{"emailAddress": "bert@example.org"}]},
        },
    }
    for relay, event in events.items():
        assert await hooks.post(relay, event) == 200
    assert [(line["source"], line["record"], line["kind"]) for line in hooks.lines()] == [
        ("brevo", 1, "complained"),
        ("mailgun", 2, "complained"),
        ("mailjet", 3, "unsubscribed"),
        ("sendgrid", 3, "complained"),
        ("postmark", 2, "unsubscribed"),
        ("sparkpost", 1, "unsubscribed"),
    ]  # Resend's and SES's say the same of the same message as one before: the same report is one line


async def test_what_a_relay_calls_the_message_ties_it(tmp_path: Path) -> None:
    hooks = Hooks(tmp_path)
    lines = hooks.signed.results.read_bytes().replace(b'"reply":null', b'"reply":"Ok 0102018F-aaaa-bbbb"', 4)
    other = tmp_path / "other.jsonl"  # a log is only added to: what is changed is another one
    other.write_bytes(lines.replace(b'"Ok 0102018F-aaaa-bbbb"', b'"Ok other-message-1"', 3))
    other.replace(hooks.signed.results)
    bounce = orjson.loads(orjson.dumps(BOUNCES["ses"]))
    bounce["bounce"]["bouncedRecipients"][0]["emailAddress"] = "dora@example.net"  # two records have that address
    assert await hooks.post("ses", bounce) == 200
    assert [line["record"] for line in hooks.lines()] == [4]


async def test_what_is_about_other_mail_of_the_account_is_not_kept(hooks: Hooks) -> None:
    event = [{**BOUNCES["sendgrid"][0], "email": "stranger@example.org", "smtp-id": "<x@y>"}]
    assert await hooks.post("sendgrid", event) == 200
    assert hooks.lines() == []


@pytest.mark.parametrize("version", ["1", "2"])
async def test_sns_signs_in_two_ways_and_its_certificate_is_asked_for_once(hooks: Hooks, version: str) -> None:
    for _ in range(2):
        assert await hooks.post("ses", notification(BOUNCES["ses"], version=version)) == 200
    assert hooks.asked == [CERTIFICATE_URL]
    assert len(hooks.lines()) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem"},
        {"SigningCertURL": "http://sns.eu-central-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://evil.example/sns.eu-central-1.amazonaws.com/x.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com:8443/x.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com/x.txt"},
        {"SigningCertURL": "https://["},
        {"TopicArn": "arn:aws:sns:eu-central-1:666666666666:bounces"},
        {"SignatureVersion": "3"},
        {"Type": "UnsubscribeConfirmation"},
    ],
)
async def test_nothing_is_asked_of_anybody_but_sns(hooks: Hooks, changed: dict[str, str]) -> None:
    assert await hooks.post("ses", notification(BOUNCES["ses"], **changed)) == 403
    assert hooks.asked == []
    assert hooks.lines() == []


async def test_a_subscription_is_confirmed_where_it_was_asked_for(hooks: Hooks) -> None:
    asks = {"Type": "SubscriptionConfirmation", "Token": "t", "Message": "You have chosen to subscribe"}
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    assert await hooks.post("ses", notification({}, SubscribeURL=url, **asks)) == 200
    assert hooks.asked == [CERTIFICATE_URL, url]
    elsewhere = notification({}, SubscribeURL="https://evil.example/?Action=ConfirmSubscription", **asks)
    assert await hooks.post("ses", elsewhere) == 403
    assert hooks.asked == [CERTIFICATE_URL, url]


async def test_who_has_no_secret_here_is_not_there(tmp_path: Path) -> None:
    hooks = Hooks(tmp_path, {"postmark": SECRET["postmark"]})
    assert await hooks.post("sendgrid", BOUNCES["sendgrid"]) == 404
    assert await hooks.post("postmark", BOUNCES["postmark"]) == 200
    assert (await hooks.http.get("/hooks/postmark")).status_code == 404


@pytest.mark.parametrize("body", [b"", b"[", b"null", b"3", b'"x"', b'{"RecordType":[]}', b'[[],{},null,{"Email":{}}]'])
async def test_what_is_no_event_is_no_report(hooks: Hooks, body: bytes) -> None:
    answer = await hooks.http.post("/hooks/postmark", headers=basic(SECRET["postmark"]), content=body)
    assert answer.status_code == (403 if body in (b"", b"[") else 200)
    assert hooks.lines() == []


async def test_what_is_too_large_is_not_read_to_its_end(hooks: Hooks) -> None:
    content = b" " * (MOST_POSTED + 1)
    answer = await hooks.http.post("/hooks/postmark", headers=basic(SECRET["postmark"]), content=content)
    assert answer.status_code == 413


async def test_all_bodies_that_are_held_at_once_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For who has sent a body is known when it has come whole. What there is no room for comes again."""
    monkeypatch.setattr("batchsend.listen.web.MOST_HELD", 3000)
    hooks = Hooks(tmp_path)
    held, released = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b" " * 2000
        yield b" " * 900
        held.set()
        await released.wait()

    async def post(content: AsyncIterator[bytes] | bytes) -> httpx.Response:
        return await hooks.http.post("/hooks/postmark", headers=basic(SECRET["postmark"]), content=content)

    async with asyncio.timeout(20):
        begun = asyncio.ensure_future(post(slowly()))
        await held.wait()
        refused = await post(b" " * 101)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert (await post(b" " * 100)).status_code == 403  # there is room for it, and it is no JSON
        assert (await hooks.http.post(hooks.signed.link(3), content=b"x" * 101)).status_code == 200
        released.set()
        assert (await begun).status_code == 403
        assert await hooks.post("postmark", BOUNCES["postmark"]) == 200, "its room is there again"
        assert (await post(b" " * 3000)).status_code == 403


async def test_the_room_of_a_body_that_does_not_come_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchsend.listen.web.MOST_HELD", 3000)
    monkeypatch.setattr("batchsend.listen.web.WITHIN", 0.05)
    hooks = Hooks(tmp_path)
    released = asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        yield b" " * 3000
        await released.wait()

    headers = basic(SECRET["postmark"])
    async with asyncio.timeout(20):
        answer = await hooks.http.post("/hooks/postmark", headers=headers, content=never())
        assert answer.status_code == 408
        monkeypatch.setattr("batchsend.listen.web.WITHIN", 20.0)
        answer = await hooks.http.post("/hooks/postmark", headers=headers, content=b" " * (MOST_POSTED + 1))
        assert answer.status_code == 413
        answer = await hooks.http.post("/hooks/postmark", headers=headers, content=b" " * 3000)
    assert answer.status_code == 403, "it was read"


def test_secrets_come_from_the_environment() -> None:
    environ = {SECRETS[relay].variable: secret for relay, secret in SECRET.items()}
    assert configured(environ) == SECRET
    assert configured({}) == {}
    with pytest.raises(UsageError, match="BATCHSEND_HOOK_MAILGUN has fewer than 8 characters"):
        configured({"BATCHSEND_HOOK_MAILGUN": "short"})
    with pytest.raises(UsageError, match="BATCHSEND_HOOK_RESEND is no signing secret"):
        configured({"BATCHSEND_HOOK_RESEND": "whsec_!!!!!!!!"})  # which would be a key that everybody has


def test_sns_is_believed_only_with_its_certificate(tmp_path: Path) -> None:
    script: list[Step] = [Expect("GET"), Close()]
    with serving(ScriptedServer(script, tls=issue(tmp_path).server_context())) as peer:
        with pytest.raises(OSError, match="certificate verify failed"):
            fetched(f"https://127.0.0.1:{peer.port}/x.pem")
        assert peer.connections == []


def test_nobody_is_asked_to_whom_sns_refers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = issue(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    context = certificates.server_context()
    taken = Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    with serving(ScriptedServer([Expect("GET"), taken, ReadToEnd()], tls=context)) as other:
        refers = f"Location: https://127.0.0.1:{other.port}/x.pem"
        found = reply("HTTP/1.1 302 Found", refers, "Content-Length: 0", "")
        with serving(ScriptedServer([Expect("GET"), found, ReadToEnd()], tls=context)) as peer:
            assert fetched(f"https://127.0.0.1:{other.port}/x.pem") == b"x"
            with pytest.raises(OSError, match="302"):
                fetched(f"https://127.0.0.1:{peer.port}/x.pem")
    assert len(other.connections) == 1


def test_the_hosts_of_sns() -> None:
    assert is_of_sns(CERTIFICATE_URL, suffix=".pem")
    assert is_of_sns("https://sns.cn-north-1.amazonaws.com.cn/x.pem", suffix=".pem")
    assert not is_of_sns("https://sns.a.b.amazonaws.com/x.pem")
