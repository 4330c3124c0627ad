"""The kind of a reply: its words without what differs from message to message.

Two replies of one kind mean the same, so each kind is judged once. Most words of a server's replies come again and
again: each is looked at once, and those that stand for one message only are not remembered.
"""

from __future__ import annotations

import re
from typing import Final

from batchsend.patterns import late_pattern

READ: Final = 1000
"""Octets of a reply that are looked at: what a server says comes first, and a look-up has a bound."""

_REMEMBERED: Final = 4096
_LONGEST: Final = 64  # letters of a word that may mean something
_IN_NUMBERS: Final = frozenset("0123456789.,:/%()[]+-")

ADDRESS: Final = "@"
"""What stands for a mail address."""

IP: Final = "ip"
"""What stands for an IP address."""

ID: Final = "#"
"""What stands for a queue id, a time, a count."""

HOST: Final = "host"
"""What stands for a host or domain that is not one of those that say who speaks."""

# The last two labels of domains that say whose wording or whose list it is; these are kept.
_KNOWN_NAMES: Final = """
google.com gmail.com outlook.com office.com office365.com microsoft.com live.com hotmail.com aka.ms yahoo.com
yahooinc.com aol.com yahoodns.net qq.com 163.com netease.com 126.com mail.ru yandex.com yandex.ru icloud.com apple.com
me.com gmx.net gmx.com web.de 1and1.com ionos.com t-online.de orange.fr free.fr laposte.net sfr.fr comcast.net cox.net
att.net zoho.com mimecast.com mimecast.org pphosted.com proofpoint.com barracudacentral.org barracudanetworks.com
cloudmark.com cisco.com senderbase.org spamhaus.org spamhaus.net spamcop.net sorbs.net uribl.com surbl.org abuseat.org
invaluement.com junkemailfilter.com uceprotect.net spamrl.com cobion.com mail-abuse.com amazonses.com amazonaws.com
sendgrid.net sendgrid.com mailgun.org mailgun.com sparkpostmail.com brevo.com sendinblue.com mailjet.com
postmarkapp.com ovh.net ovh.com secureserver.net godaddy.com x.co facebook.com fastmail.com protonmail.ch proton.me
seznam.cz wp.pl onet.pl interia.pl libero.it aruba.it telenet.be virginmedia.com schweikert.ch postgrey.org
mailtrap.io mailchannels.com mailchannels.net hostinger.com rackspace.com emailsrvr.com earthlink.net centurylink.net
charter.net spectrum.net aliyun.com naver.com daum.net rediffmail.com mailspamprotection.com siteground.com
dreamhost.com bluehost.com hostgator.com namecheap.com privateemail.com trendmicro.com symantec.com messagelabs.com
forcepoint.com sophos.com hornetsecurity.com antispamcloud.com spamexperts.com mailprotect.be strato.de forpsi.com
"""
_KNOWN: Final = frozenset(_KNOWN_NAMES.split())

_URL: Final = late_pattern(r"[^:]*://(?:www\.)?([\w.-]+)", re.ASCII)
_DOMAIN: Final = late_pattern(r"\W*(\w[\w.-]*\.[a-z]{2,})\b.*", re.ASCII | re.DOTALL)
_DIGIT: Final = late_pattern(r"\d", re.ASCII)
_IP: Final = late_pattern(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\w)", re.ASCII)
_IP_V6: Final = late_pattern(r"\W*[\da-f]{0,4}(?::[\da-f]{0,4}){3,7}\W*")
# Enhanced status codes, names of protocols, periods such as "24-hour", and codes such as "[TSS04]" or "IB504".
_NAME: Final = late_pattern(
    r"\W*(?:[245]\.\d{1,3}\.\d{1,3}"
    r"|\d{1,3}-?(?:h|hrs?|hours?|min|minutes?|days?|s|sec|seconds?)"
    r"|86400s?|3600s|[a-z]{1,6}-?\d{1,4}|rfc-?\d{3,4}(?:bis)?|(?:28|53)2[12]|utf-?8|[78]bit|base64|sha-?\d+|tlsv?1(?:\.\d)?)\W*",
    re.ASCII,
)
_NAMED: Final = late_pattern(
    rb"(?:RESOLVER|STOREDRV|QUEUE|SMTPSEND|AGENT|TRANSPORT|ROUTING|DSN)\.[\w.:]+;?"
)  # Exchange's
_SENTENCES: Final = late_pattern(rb"[a-z)][.;:!?]+[A-Z]")


def _normal(word: bytes) -> tuple[str, bool]:
    """What stands for a word, and whether other replies will have the same word."""
    text = word.decode("utf-8", "replace").lower()
    if "://" in text and (url := _URL.match(text)) is not None:
        return f"http:{_domain(url[1])}", False
    if len(text) > _LONGEST and _NAMED.match(word) is None:
        return ID, False
    if _DIGIT.search(text) is not None:
        return _with_digits(text)
    if (
        "." in text
        and (host := _DOMAIN.fullmatch(text)) is not None
        and not (_SENTENCES.search(word) or _NAMED.match(word))
    ):
        return _domain(host[1]), False
    return text, True


def _with_digits(text: str) -> tuple[str, bool]:
    if _NAME.fullmatch(text) is not None:
        return text, True
    dots = text.count(".")
    if dots >= 3 and (without := _IP.sub(IP, text)) != text:
        return (without if _DIGIT.search(without) is None else IP), False
    if _IN_NUMBERS.issuperset(text):
        return "0." if text[-1] == "." else "0", False
    if dots and (host := _DOMAIN.fullmatch(text)) is not None:
        return _domain(host[1]), False
    return (ID if ":" not in text or _IP_V6.fullmatch(text) is None else IP), False


def _domain(name: str) -> str:
    last_two = ".".join(name.strip(".").rsplit(".", 2)[-2:])
    return last_two if last_two in _KNOWN else HOST


class _Words(dict[bytes, str]):
    """What stands for each word that has been seen."""

    def __missing__(self, word: bytes) -> str:
        if b"@" in word:
            return "@:" if word.endswith((b":", b".")) else ADDRESS
        text, common = _normal(word)
        if common:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[word] = text
        return text


_words: Final = _Words()


def kind_of(raw: bytes) -> tuple[str, ...]:
    """The words of a reply's text, in lower case, without ids, addresses, numbers and hosts.

    Args:
        raw: The texts of its lines, joined by LF.
    """
    return tuple(map(_words.__getitem__, raw[:READ].split()))
