"""Texts that tell which command they answer: what servers say to MAIL, RCPT and contents."""

from __future__ import annotations

import pytest

from batchsend.smtp.replies import Reply
from batchsend.smtp.telling_texts import Habits, TellingPlace, TellingTexts


def habits(mail: str, rcpt: str, content: str) -> Habits:
    return Habits(Reply(250, mail.encode()), Reply(250, rcpt.encode()), Reply(250, content.encode()))


@pytest.mark.parametrize(
    ("mail", "rcpt", "content", "said"),
    [
        ("2.1.0 Ok", "2.1.5 Ok", "2.0.0 Ok: queued as 4Xk2Jq1Zz", "2.0.0 Ok: queued as 4Xk2Jr7Zz"),  # Postfix
        ("OK", "Accepted", "OK id=1tGabc-000000001Zx-2AbC", "OK id=1tGabd-000000002Zx-3AbC"),  # Exim
        ("Ok", "Ok", "Ok 0102018f1a2b3c4d-5e6f", "Ok 0102018f1a2b3c4e-5e70"),  # SES
        ("2.1.0 OK x12 - gsmtp", "2.1.5 OK x12 - gsmtp", "2.0.0 OK 1700000000 x12 - gsmtp", "2.0.0 OK 17 x13 - gsmtp"),
        ("Mail OK", "Mail OK", "Mail OK queued as smtp3,abc", "Mail OK queued as smtp9,xyz"),
        ("sender <a@example.com> ok", "recipient <b@example.com> ok", "ok dirdel", "ok dirdel"),
    ],
)
def test_what_is_said_to_contents_is_known_by_its_first_words(mail: str, rcpt: str, content: str, said: str) -> None:
    known = habits(mail, rcpt, content)
    assert known.tell_apart(Reply(250, said.encode()))
    # Another command's reply in its place is not.
    assert not known.tell_apart(Reply(250, mail.encode()))
    assert not known.tell_apart(Reply(250, rcpt.encode()))
    # What this server has never said to a content is no proof, and nor is no text at all.
    assert not known.tell_apart(Reply(250, b"Nobody asked"))
    assert not known.tell_apart(Reply(250, b""))


@pytest.mark.parametrize("same", ["Ok", "2.0.0 Ok", "", "250"])
def test_who_says_the_same_to_all_tells_nothing(same: str) -> None:
    assert not habits(same, same, same).tell_apart(Reply(250, same.encode()))


def test_a_text_that_has_proved_something_and_comes_elsewhere_contradicts() -> None:
    texts = TellingTexts()
    assert texts.proves(b"2.1.5 Ok", TellingPlace.RCPT)
    contradicted = []
    for text in (b"2.0.0 Ok", b"2.1.5 Ok"):
        assert not texts.proves(text, TellingPlace.NONE)
        contradicted.append(texts.contradicted)
    assert contradicted == [False, True]
    assert texts.told == {TellingPlace.RCPT}
    assert not texts.proves(b"2.1.5 Ok", TellingPlace.RCPT), "a whole transaction late it would be in place again"


def test_a_text_that_never_told_anything_contradicts_nothing_by_its_absence() -> None:
    texts = TellingTexts()
    assert not texts.proves(b"Ok", TellingPlace.RCPT)
    assert not texts.proves(b"Ok", TellingPlace.RSET)
    assert not texts.contradicted
    assert not texts.told
