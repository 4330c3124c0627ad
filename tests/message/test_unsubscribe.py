"""`unsubscribe` in a campaign: both headers of RFC 8058, and a link that nobody else can make."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.campaign import Message, load
from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer
from batchsend.message.proof import Proof
from batchsend.message.verp import Verp, record_of_link
from batchsend.recipients import Record

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261127T080000.abcdef012345"
KEY = bytes(range(32))
VERP = Verp(RUN, lambda: KEY)
URL = "https://lists.example.com/u"


def composed(directory: Path, *, proof: Proof | None = None, verp: Verp | None = VERP, **keys: Any) -> str:
    message = Message(**{"from_": "News <news@example.com>", "subject": "News", "text": "Hello", **keys})
    composer = Composer(message, directory=directory, batch_id=RUN, verp=verp, proof=proof)
    return composer.compose(Record(7, 8, {"email": "anna@example.org"})).content.decode().replace("\r\n ", " ")


def test_both_headers_are_set_and_the_link_is_the_records(tmp_path: Path) -> None:
    content = composed(tmp_path, unsubscribe=f"{URL}/", text="No more: {{ batch.unsubscribe_url }}")
    link = f"{URL}/{VERP.link(7)}"
    assert f"\r\nList-Unsubscribe: <{link}>\r\n" in content
    assert "\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in content
    assert content.endswith(f"\r\n\r\nNo more: {link}\r\n")
    assert record_of_link(link.rpartition("/")[2], RUN, KEY) == 7


def test_what_the_campaign_says_itself_stays(tmp_path: Path) -> None:
    own = "<mailto:stop@example.com>, <{{ batch.unsubscribe_url }}>"
    content = composed(tmp_path, unsubscribe=URL, headers={"List-Unsubscribe": own})
    assert content.count("List-Unsubscribe:") == content.count("List-Unsubscribe-Post:") == 1
    assert f"List-Unsubscribe: <mailto:stop@example.com>, <{URL}/{VERP.link(7)}>" in content


def test_a_whole_message_gets_them_as_well(tmp_path: Path) -> None:
    file = tmp_path / "message.eml"
    file.write_bytes(b"From: news@example.com\r\nSubject: News\r\n\r\nHello\r\n")
    content = composed(tmp_path, eml_file=file, unsubscribe=URL, from_=None, subject=None, text=None)
    assert f"List-Unsubscribe: <{URL}/{VERP.link(7)}>" in content
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in content


def test_a_proof_unsubscribes_nobody(tmp_path: Path) -> None:
    html = '<a href="{{ batch.unsubscribe_url }}">No more of this</a>'
    content = composed(tmp_path, unsubscribe=URL, html=html, text=None, proof=Proof("me@example.net"))
    assert "List-Unsubscribe" not in content
    assert VERP.link(7) not in content


def test_a_message_that_is_only_looked_at_has_a_link_that_is_worth_nothing(tmp_path: Path) -> None:
    content = composed(tmp_path, unsubscribe=URL, verp=None)
    token = content.partition(f"<{URL}/")[2].partition(">")[0]
    assert len(token) == len(VERP.link(7))
    assert record_of_link(token, RUN, KEY) is None


def test_without_the_key_in_the_campaign_there_is_no_link(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"needs unsubscribe = \"https://…\" in \[message\]"):
        composed(tmp_path, text="{{ batch.unsubscribe_url }}")


def test_links_and_return_paths_are_signed_apart() -> None:
    link, path = VERP.link(7), VERP.token(7)
    assert not link.startswith(path)
    assert record_of_link(path, RUN, KEY) is None


def test_ten_thousand_forged_links_are_of_no_record() -> None:
    generator = random.Random(18)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    genuine = VERP.link(7)
    head, mac = genuine[: -len("a" * 26)], genuine[-26:]
    for _ in range(10_000):
        place = generator.randrange(26)
        other = generator.choice([letter for letter in letters if letter != mac[place]])
        assert record_of_link(f"{head}{mac[:place]}{other}{mac[place + 1 :]}", RUN, KEY) is None
    assert record_of_link(genuine.replace("7-", "8-", 1), RUN, KEY) is None
    assert record_of_link(genuine, "20261127T080000.abcdef012346", KEY) is None
    assert record_of_link(genuine, RUN, bytes(32)) is None
    assert record_of_link(genuine, RUN, KEY) == 7


@pytest.mark.parametrize(
    "url", ["http://lists.example.com/u", "lists.example.com", "https://a.example/u?x=1", "https://a.example/ u", ""]
)
def test_an_impossible_url_is_refused(tmp_path: Path, url: str) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(
        'recipients = "r.csv"\n[server]\nhost = "smtp.example.com"\n'
        f'[message]\nfrom = "a@example.com"\nsubject = "News"\ntext = "Hello"\nunsubscribe = "{url}"\n'
    )
    with pytest.raises(UsageError, match=r"\[message\] unsubscribe = "):
        load(path)
