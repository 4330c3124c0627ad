r"""Scripts as text: what the client says on ``C:`` lines, what the server says and does on ``S:`` lines.

::

    # a comment; blank lines are skipped
    S: 220 mail.example.org ESMTP
    C: EHLO                          a command that begins so, whatever its case
    S: 250-mail.example.org
    S: 250 PIPELINING
    C: <content>                     everything up to the lone dot; <content 5>, as a trace has it, is the same
    C: <octets>                      the octets that the BDAT before announced; <octets 5>: so many
    C: <end>                         everything until the client closes
    S> 250 torn\r\n250-              octets, with Python's escapes and no CRLF added
    S: <octet by octet>              what the server says from here on is sent so; <whole> ends it
    S: <close>  <half-close>  <reset>  <silence>  <stop reading>  <resume reading>  <starttls>
    <repeat>                         endlessly, or <repeat 3>: the lines up to the matching
    <end repeat>
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.tools.steps import (
    Close,
    Expect,
    HalfClose,
    ReadContent,
    ReadOctets,
    ReadToEnd,
    Repeat,
    Reset,
    ResumeReading,
    Send,
    Silence,
    StartTls,
    Step,
    StopReading,
)

if TYPE_CHECKING:
    import ssl

_DEEDS: dict[str, Step] = {
    "close": Close(),
    "half-close": HalfClose(),
    "reset": Reset(),
    "silence": Silence(),
    "stop reading": StopReading(),
    "resume reading": ResumeReading(),
}
_LINE = re.compile(r"(?P<who>C:|S:|S>)(?: (?P<what>.*))?")
_COUNTED = re.compile(r"<(?P<word>octets|repeat|content)(?: (?P<count>\d+))?>")
_DEED = re.compile(r"<(?P<deed>[a-z -]+)>")


class TranscriptError(ValueError):
    """The text is not a transcript."""


class _Parser:
    def __init__(self, text: str, tls: ssl.SSLContext | None) -> None:
        self._lines = enumerate(text.splitlines(), 1)
        self._tls = tls
        self._segment: int | None = None

    def steps(self, *, opened: int | None = None) -> list[Step]:
        """Return the steps up to the end of the text, or of the repetition opened on that line."""
        steps: list[Step] = []
        for number, raw in self._lines:
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            if line == "<end repeat>" and opened is not None:
                return steps
            repeat = _COUNTED.fullmatch(line)
            if repeat is not None and repeat["word"] == "repeat":
                count = repeat["count"]
                steps.append(Repeat(self.steps(opened=number), None if count is None else int(count)))
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise TranscriptError(f"line {number}: neither C: nor S: {line!r}")
            step = self._step(number, match["who"], match["what"] or "")
            if step is not None:
                steps.append(step)
        if opened is not None:
            raise TranscriptError(f"line {opened}: <repeat> without <end repeat>")
        return steps

    def _step(self, number: int, who: str, what: str) -> Step | None:
        if who == "C:":
            return self._client(number, what)
        if who == "S>":
            return Send(
                what.encode("latin-1", "backslashreplace").decode("unicode-escape").encode("latin-1"), self._segment
            )
        deed = _DEED.fullmatch(what)
        if deed is None:
            return Send(what.encode() + b"\r\n", self._segment)
        return self._deed(number, deed["deed"])

    def _client(self, number: int, what: str) -> Step:
        octets = _COUNTED.fullmatch(what)
        if octets is not None and octets["word"] == "octets":
            return ReadOctets(None if octets["count"] is None else int(octets["count"]))
        if octets is not None and octets["word"] == "content":
            return ReadContent()
        if what == "<end>":
            return ReadToEnd()
        if _DEED.fullmatch(what):
            raise TranscriptError(f"line {number}: a client does not {what}")
        return Expect(what)

    def _deed(self, number: int, deed: str) -> Step | None:
        if deed in {"octet by octet", "whole"}:
            self._segment = 1 if deed == "octet by octet" else None
            return None
        if deed == "starttls":
            if self._tls is None:
                raise TranscriptError(f"line {number}: <starttls> needs a TLS context")
            return StartTls(self._tls)
        if deed not in _DEEDS:
            raise TranscriptError(f"line {number}: a server does not <{deed}>")
        return _DEEDS[deed]


def parse(text: str, *, tls: ssl.SSLContext | None = None) -> list[Step]:
    """Return the steps that a transcript describes.

    Args:
        text: The transcript, in the format that this module's docstring shows.
        tls: The server's context for ``<starttls>``.

    Raises:
        TranscriptError: A line is none of these; the message names it.
    """
    return _Parser(text, tls).steps()
