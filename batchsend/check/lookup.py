"""Questions to the DNS, within a time for all of them together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

SECONDS: Final = 3.0
"""How long all questions together may take; what has not been answered by then is not known."""

_EACH: Final = 2.0
# Characters of a name (RFC 1035 §2.3.4), its last dot included: none is longer, and to make A-labels of one that is
# would take quadratic time.
_LONGEST_NAME: Final = 254


class UnansweredError(Exception):
    """The DNS did not say; the message says why not."""


class Answer(NamedTuple):
    """What the DNS said to one question.

    Attributes:
        exists: There is such a name; false for NXDOMAIN, which is said of everything below it too (RFC 8020).
        records: The records of the kind that was asked for, as texts.
    """

    exists: bool
    records: tuple[str, ...] = ()


class MailExchanger(NamedTuple):
    """An MX record (RFC 5321 §5.1).

    Attributes:
        preference: The lower, the sooner tried.
        host: Its name; ``.`` in a null MX (RFC 7505).
    """

    preference: int
    host: str


class Lookup:
    """Asks a resolver; what was asked before is not asked again.

    Args:
        resolver: Its address and port; None for the system's.
        seconds: How long all questions together may take, from now on.
    """

    def __init__(self, resolver: tuple[str, int] | None = None, seconds: float = SECONDS) -> None:
        self._where = resolver
        self._deadline = time.monotonic() + seconds
        self._asks: Resolver | None = None
        self._known: dict[tuple[str, str], Answer | UnansweredError] = {}

    async def texts(self, name: str) -> Answer:
        """The TXT records of a name, the strings of each joined (RFC 7208 §3.3).

        Raises:
            UnansweredError: The DNS did not say.
        """
        return await self._ask(name, "TXT")

    async def mail_exchangers(self, domain: str) -> list[MailExchanger]:
        """The MX records of a domain, the preferred one first.

        Raises:
            UnansweredError: The DNS did not say.
        """
        records = (record.split() for record in (await self._ask(domain, "MX")).records)
        return sorted(MailExchanger(int(preference), host) for preference, host in records)

    async def exists(self, name: str) -> bool:
        """Whether there is anything of this name, or below it.

        Raises:
            UnansweredError: The DNS did not say.
        """
        return (await self._ask(name, "TXT")).exists

    async def has_address(self, name: str) -> bool:
        """Whether a host has an A or AAAA record.

        Raises:
            UnansweredError: The DNS did not say.
        """
        return bool((await self._ask(name, "A")).records or (await self._ask(name, "AAAA")).records)

    async def _ask(self, name: str, kind: str) -> Answer:
        if len(name) > _LONGEST_NAME:
            raise UnansweredError(f"{name[:40]}… is longer than any name")
        key = name.lower().rstrip("."), kind
        known = self._known.get(key)
        if known is None:
            try:
                known = await self._resolve(*key)
            except UnansweredError as error:
                known = error
            self._known[key] = known
        if isinstance(known, UnansweredError):
            raise known
        return known

    async def _resolve(self, name: str, kind: str) -> Answer:
        import dns.exception  # noqa: PLC0415 - a large library that only this needs
        import dns.resolver  # noqa: PLC0415

        from batchsend.check.sockets import SocketMaker  # noqa: PLC0415 - imports it, too

        left = self._deadline - time.monotonic()
        if left <= 0:
            raise UnansweredError("the time for asking the DNS is up")
        try:
            answer = await self._resolver().resolve(
                f"{name}.", kind, lifetime=min(left, _EACH), raise_on_no_answer=False, backend=SocketMaker()
            )
        except dns.resolver.NXDOMAIN:
            return Answer(exists=False)
        except dns.resolver.NoResolverConfiguration:
            raise UnansweredError("this machine has no resolver") from None
        except dns.exception.Timeout:
            raise UnansweredError("no answer in time") from None
        except dns.resolver.NoNameservers:
            raise UnansweredError("the resolver cannot find it out (SERVFAIL)") from None
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            raise UnansweredError(f"{type(error).__name__}: {error}") from None
        return Answer(exists=True, records=tuple(_text(record) for record in answer.rrset or ()))

    def _resolver(self) -> Resolver:
        if self._asks is None:
            from dns.asyncresolver import Resolver  # noqa: PLC0415 - a large library that only this needs

            self._asks = Resolver(configure=self._where is None)
            if self._where is not None:
                host, self._asks.port = self._where
                self._asks.nameservers = [host]
        return self._asks


def _text(record: Any) -> str:
    """A record as a text: of TXT the strings in one, of others as in a zone file."""
    strings: tuple[bytes, ...] | None = getattr(record, "strings", None)
    return str(record.to_text()) if strings is None else b"".join(strings).decode("utf-8", "backslashreplace")
