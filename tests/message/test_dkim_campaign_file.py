"""``[message.dkim]`` in a campaign file: one signature or several, and every mistake told by file and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import Dkim, load
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
recipients = "recipients.csv"
server = { host = "smtp.example.com" }
[message]
from = "App <hello@mail.example.com>"
subject = "Welcome"
text = "Hello"
"""
RSA = 'domain = "example.com"\nselector = "rsa-2026"\nkey_file = "rsa.pem"\n'
ED25519 = 'domain = "mail.example.com"\nselector = "ed.s1"\nkey_file = "ed.key"\n'


@pytest.fixture(autouse=True)
def keys(tmp_path: Path) -> None:
    for name in ("rsa.pem", "ed.key"):
        (tmp_path / name).write_text("looked into when messages are made")


def dkim(folder: Path, text: str) -> tuple[Dkim, ...]:
    (folder / "campaign.toml").write_text(TEXT + text)
    return load(folder / "campaign.toml").message.dkim


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as error:
        dkim(folder, text)
    assert error.value.remedy
    return str(error.value).removeprefix(f"{folder}/campaign.toml: ").replace(str(folder.resolve()), "/here")


def test_without_the_table_nothing_is_signed(tmp_path: Path) -> None:
    assert dkim(tmp_path, "") == ()


def test_one_signature_is_a_table(tmp_path: Path) -> None:
    expected = Dkim(domain="example.com", selector="rsa-2026", key_file=tmp_path / "rsa.pem")
    assert dkim(tmp_path, f"[message.dkim]\n{RSA}") == (expected,)
    assert dkim(tmp_path, f"[[message.dkim]]\n{RSA}") == (expected,)


def test_several_signatures_are_an_array_of_tables(tmp_path: Path) -> None:
    found = dkim(tmp_path, f"[[message.dkim]]\n{RSA}[[message.dkim]]\n{ED25519}")
    assert [one.selector for one in found] == ["rsa-2026", "ed.s1"]


def test_the_key_may_lie_outside_the_campaigns_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (found,) = dkim(tmp_path / "inner", "[message.dkim]\n" + RSA.replace("rsa.pem", "../rsa.pem"))
    assert found.key_file.samefile(tmp_path / "rsa.pem")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (RSA.replace("example.com", "com"), '[message.dkim] domain = "com"'),
        (RSA.replace("example.com", ""), '[message.dkim] domain = ""'),
        (RSA.replace("example.com", "exämple.com"), '[message.dkim] domain = "exämple.com"'),
        (RSA.replace("example.com", "example.com; x=1"), '[message.dkim] domain = "example.com; x=1"'),
        (RSA.replace("rsa-2026", "s\\r\\n"), '[message.dkim] selector = "s\\r\\n"'),
        (RSA.replace("rsa-2026", ""), '[message.dkim] selector = ""'),
        (RSA.replace("rsa-2026", "x." * 120 + "x"), "[message.dkim] selector"),
        (RSA.replace("rsa.pem", "none.pem"), '[message.dkim] key_file = "none.pem"'),
        (RSA.replace('"rsa.pem"', "1"), "[message.dkim] key_file = 1"),
        (RSA.replace("selector", "selektor"), "[message.dkim] selektor is not a key"),
        (RSA.partition("key_file")[0], "[message.dkim] key_file is missing"),
    ],
)
def test_a_mistake_is_told_by_its_key(tmp_path: Path, text: str, found: str) -> None:
    assert refusal(tmp_path, f"[message.dkim]\n{text}").startswith(found)


def test_a_mistake_in_one_of_several_is_told_by_its_place(tmp_path: Path) -> None:
    wrong = ED25519.replace("mail.example.com", "com")
    text = f"[[message.dkim]]\n{RSA}[[message.dkim]]\n{wrong}"
    assert refusal(tmp_path, text).startswith('[[message.dkim]] #2 domain = "com"\n')
    text = f"[[message.dkim]]\n{RSA}[[message.dkim]]\n{ED25519.replace('domain', 'domian')}"
    assert refusal(tmp_path, text).startswith("[[message.dkim]] #2 domian is not a key")


def test_the_same_key_twice_is_one_too_many(tmp_path: Path) -> None:
    again = RSA.replace("example.com", "Example.com")
    found = refusal(tmp_path, f"[[message.dkim]]\n{RSA}[[message.dkim]]\n{again}")
    assert found == "[[message.dkim]] #2 has the domain and selector of another signature\nleave one of them out"


@pytest.mark.parametrize("text", ["dkim = 3", 'dkim = "rsa.pem"', "dkim = [3]"])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).endswith("\nexpected a table [message.dkim], or several [[message.dkim]]")
