"""What a session's failure to open is called, where the library says something that has no name of its own."""

from __future__ import annotations

from aiosmtplib import SMTPException

from batchsend.delivery.connect_failure import diagnose
from batchsend.outcome import Stage


def test_what_has_no_name_is_told_as_it_is() -> None:
    trouble = diagnose(Stage.GREETING, SMTPException("odd"), "smtp.example.com")
    assert (trouble.what, trouble.stage, trouble.lasting) == ("failed at greeting: odd", Stage.GREETING, False)
