"""Whether a webhook comes from the relay that it claims to come from: what each relay signs, and with what.

None of the checks asks how old a request is. Relays repeat for days what they could not deliver, and what somebody else
repeats is a report that the log has already: the same report is one line.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from batchsend.errors import UsageError
from batchsend.events.signature import key_of, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PREFIX: Final = "BATCHSEND_HOOK_"
"""What the names of the environment variables begin with that hold the secrets."""

_SNS_HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,40}\.amazonaws\.com(?:\.cn)?", re.ASCII)
_SNS_FIELDS: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_MOST_TOKENS: Final = 50_000
_FEWEST: Final = 8  # characters of a secret


class RefusedError(Exception):
    """A request does not come from the relay, or is not what the relay sends."""


class HookSecret(NamedTuple):
    """What one relay's webhooks are known by.

    Attributes:
        variable: The environment variable that holds it.
        what: What it is, for people.
    """

    variable: str
    what: str


SECRETS: Final = {
    "brevo": HookSecret(f"{PREFIX}BREVO", "the token of the webhook's authentication"),
    "mailgun": HookSecret(f"{PREFIX}MAILGUN", "the HTTP webhook signing key"),
    "mailjet": HookSecret(f"{PREFIX}MAILJET", "user:password, as in the webhook's URL"),
    "postmark": HookSecret(f"{PREFIX}POSTMARK", "user:password, as in the webhook's authentication"),
    "resend": HookSecret(f"{PREFIX}RESEND", "the signing secret, whsec_…"),
    "sendgrid": HookSecret(f"{PREFIX}SENDGRID", "the verification key of the signed event webhook"),
    "ses": HookSecret(f"{PREFIX}SES", "the ARN of the SNS topic"),
    "sparkpost": HookSecret(f"{PREFIX}SPARKPOST", "user:password, or the token of the webhook's authentication"),
}
"""The relays whose webhooks are taken, by name."""


def configured(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The secrets of the relays whose webhooks are taken: those in the environment, which is this process's for None.

    Raises:
        UsageError: One is too short to be a secret.
    """
    names = os.environ if environ is None else environ
    found = {relay: names[secret.variable] for relay, secret in SECRETS.items() if names.get(secret.variable)}
    for relay, secret in found.items():
        if len(secret) < _FEWEST:
            raise UsageError(
                f"{SECRETS[relay].variable} has fewer than {_FEWEST} characters", remedy=f"it is {SECRETS[relay].what}"
            )
    if "resend" in found and key_of(found["resend"]) is None:
        raise UsageError(f"{SECRETS['resend'].variable} is no signing secret", remedy="it begins with whsec_")
    return found


class HookVerifier:
    """Verifies requests of relays.

    Args:
        secrets: By relay, as `configured` has them.
        fetch: Gets what is at a URL: the certificates that SNS signs with. Called only for hosts of SNS.
    """

    def __init__(self, secrets: Mapping[str, str], fetch: Callable[[str], bytes]) -> None:
        self.secrets = secrets
        self._fetch = fetch
        self._sns_keys: dict[str, RSAPublicKey] = {}
        self._used: dict[str, bytes] = {}

    def verify(self, relay: str, headers: Mapping[str, str], body: bytes) -> Any:
        """The JSON of a request that comes from the relay.

        Args:
            relay: One of `SECRETS` that has a secret.
            headers: The request's, by their names in lower case.
            body: The request's.

        Raises:
            RefusedError: It does not, or is no JSON.
        """
        secret = self.secrets[relay]
        match relay:
            case "sendgrid":
                _verify_sendgrid(secret, headers, body)
            case "resend":
                _verify_standard(secret, headers, body)
            case "mailgun" | "ses":
                pass  # the signature is in the body
            case _:
                _verify_credentials(secret, headers)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise RefusedError("no JSON") from None
        if relay == "mailgun":
            self._require_one_use(_verify_mailgun(secret, document), body)
        elif relay == "ses":
            self._verify_sns(secret, document)
        return document

    def _require_one_use(self, token: str, body: bytes) -> None:
        """Refuse what bears the signature of another event: Mailgun signs a number that it has drawn, not the event."""
        digest = sha256(body).digest()
        if self._used.setdefault(token, digest) != digest:
            raise RefusedError("the signature is that of another event")
        if len(self._used) > _MOST_TOKENS:
            del self._used[next(iter(self._used))]

    def _verify_sns(self, topic: str, document: Any) -> None:
        """https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html .

        Everybody can have a topic, and what is posted from it is signed alike: ours is known by its name.
        """
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415

        fields = document if isinstance(document, dict) else {}
        if any(not isinstance(value, str) for value in fields.values()) or fields.get("TopicArn") != topic:
            raise RefusedError("not of this topic")
        names = _SNS_FIELDS.get(fields.get("Type", ""))
        algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(fields.get("SignatureVersion", ""))  # noqa: S303
        if names is None or algorithm is None:
            raise RefusedError("no notification")
        signed = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
        key = self._sns_key(fields.get("SigningCertURL", ""))
        try:
            key.verify(_octets(fields.get("Signature", "")), signed.encode(), PKCS1v15(), algorithm)
        except InvalidSignature:
            raise RefusedError("the signature is not genuine") from None

    def _sns_key(self, url: str) -> RSAPublicKey:
        if url not in self._sns_keys:
            from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - slow to import
            from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

            if not is_of_sns(url, suffix=".pem"):
                raise RefusedError("the certificate is not at SNS")
            try:
                key = load_pem_x509_certificate(self._fetch(url)).public_key()
            except (OSError, ValueError) as error:
                raise RefusedError(f"the certificate cannot be had: {error}") from None
            if not isinstance(key, RSAPublicKey):
                raise RefusedError("the certificate is none of SNS")
            if len(self._sns_keys) > 16:
                self._sns_keys.clear()
            self._sns_keys[url] = key
        return self._sns_keys[url]


def is_of_sns(url: str, *, suffix: str = "") -> bool:
    """Whether a URL is at a host of Amazon SNS, over HTTPS and at the port of that."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and port in (None, 443)
        and parts.username is None
        and parts.password is None
        and _SNS_HOST.fullmatch(parts.hostname or "") is not None
        and parts.path.endswith(suffix)
    )


def _verify_sendgrid(key: str, headers: Mapping[str, str], body: bytes) -> None:
    """SendGrid's Signed Event Webhook: ECDSA of the time and the body."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    prefix = "x-twilio-email-event-webhook"
    stamp, given = headers.get(f"{prefix}-timestamp", ""), headers.get(f"{prefix}-signature", "")
    try:
        public = load_der_public_key(_octets(key))
    except ValueError:
        raise RefusedError(f"{SECRETS['sendgrid'].variable} is no key") from None
    if not isinstance(public, EllipticCurvePublicKey):
        raise RefusedError(f"{SECRETS['sendgrid'].variable} is no key of this kind")
    try:
        public.verify(_octets(given), stamp.encode() + body, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise RefusedError("the signature is not genuine") from None


def _verify_standard(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """https://www.standardwebhooks.com , whose headers are called ``svix-…`` by those who came first."""
    identity, stamp = (
        headers.get(f"svix-{name}") or headers.get(f"webhook-{name}", "") for name in ("id", "timestamp")
    )
    given = headers.get("svix-signature") or headers.get("webhook-signature", "")
    key = key_of(secret)
    right = b"" if key is None else signature(key, identity, stamp, body).encode()
    if not right or not any(hmac.compare_digest(right, one.encode()) for one in given.split(" ")[:20]):
        raise RefusedError("the signature is not genuine")


def _verify_mailgun(key: str, document: Any) -> str:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks ; return the token."""
    found = document.get("signature") if isinstance(document, dict) else None
    fields = found if isinstance(found, dict) else {}
    stamp, token, given = (str(fields.get(name, "")) for name in ("timestamp", "token", "signature"))
    right = hmac.new(key.encode(), f"{stamp}{token}".encode("utf-8", "surrogatepass"), sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogatepass")):
        raise RefusedError("the signature is not genuine")
    return token


def _verify_credentials(secret: str, headers: Mapping[str, str]) -> None:
    """A secret in the request itself: as user and password, as a bearer, or in a header that a relay has for it."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    given = [headers.get("x-messagesystems-webhook-token", "").encode("utf-8", "surrogateescape")]
    if kind.lower() == "basic":
        given.append(_octets(value.strip()))
    elif kind.lower() == "bearer":
        given.append(value.strip().encode("utf-8", "surrogateescape"))
    if not any(hmac.compare_digest(secret.encode(), one) for one in given):
        raise RefusedError("the credentials are missing or wrong")


def _octets(text: str) -> bytes:
    """What base64 stands for; nothing where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
