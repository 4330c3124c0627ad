"""The parameters of MAIL and RCPT: what the server offers, the campaign asks for and the message needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend.smtp.commands import utf8_xtext, xtext

if TYPE_CHECKING:
    from batchsend.campaign import Dsn
    from batchsend.message import Submission
    from batchsend.smtp.extensions import Extensions


class Parameters:
    """Made once a session; each message adds its own.

    Args:
        extensions: What the server offers in this session.
        dsn: Which reports the campaign asks for, or None.
        require_tls: Whether the campaign asks for REQUIRETLS.
    """

    def __init__(self, extensions: Extensions, *, dsn: Dsn | None = None, require_tls: bool = False) -> None:
        self._size = extensions.size is not None
        self._dsn = dsn is not None and extensions.dsn
        self._ret = ""
        self._notify = ""
        if dsn is not None:
            self._ret = {None: "", "full": " RET=FULL", "headers": " RET=HDRS"}[dsn.ret]
            self._notify = f" NOTIFY={','.join(dsn.notify).upper()}"
        self._require_tls = " REQUIRETLS" if require_tls else ""

    def mail(self, submission: Submission, *, size: int, eight_bit: bool, utf8: bool) -> str:
        """The parameters of MAIL, each led by a space: SIZE, BODY, SMTPUTF8, REQUIRETLS, RET, ENVID."""
        parameters = self._require_tls
        if self._size:
            parameters += f" SIZE={size}"
        if eight_bit:
            parameters += " BODY=8BITMIME"
        if utf8:
            parameters += " SMTPUTF8"
        if self._dsn:
            parameters += self._ret
            if submission.message_id is not None:
                # RFC 3461 §4.4: at most 100 characters, which come back in every report about this message.
                envelope_id = xtext(submission.message_id.strip("<>"))
                parameters += f" ENVID={envelope_id}" if len(envelope_id) <= 100 else ""
        return parameters

    def rcpt(self, submission: Submission, *, utf8: bool) -> str:
        """The parameters of RCPT, each led by a space: NOTIFY, ORCPT."""
        if not self._dsn:
            return ""
        address = submission.envelope.forward_path
        # RFC 6533 §3: an address that is not ASCII is of the type utf-8, which has an encoding of its own.
        original = f"utf-8;{utf8_xtext(address)}" if utf8 and not address.isascii() else f"rfc822;{xtext(address)}"
        return f"{self._notify} ORCPT={original}"
