"""What a proof-reader would say is said of messages, once a message, and of none that is right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend.campaign import load
from batchsend.check import Section, Severity
from batchsend.check.lookup import Lookup
from batchsend.check.recipient_domains import check_domains
from batchsend.check.records import RecordsCheck
from tests.check.harness import GUARD, found, kinds
from tests.check.name_server import SILENT, NameServer
from tests.check.test_check_message import ALWAYS, WORDS

if TYPE_CHECKING:
    from pathlib import Path

THREE = "email,first_name\na@example.com,Ann\nb@example.com,Bob\nc@example.com,Cy\n"
PLAIN = 'subject = "x"\ntext = "Hello"\n'


def looked(folder: Path, recipients: str, message: str, *, file: str = "recipients.csv") -> Section:
    """What is found in the messages of a campaign whose [message] is that."""
    (folder / file).write_text(recipients)
    path = folder / "campaign.toml"
    sender = "" if "eml_file" in message else 'from = "From <from@example.com>"\n'
    path.write_text(f'recipients = "{file}"\n[server]\nhost = "smtp.example.com"\n[message]\n{sender}{message}\n')
    return RecordsCheck(load(path, resolve_credentials=False), limit=None).run()[1]


def in_html(folder: Path, html: str) -> set[str]:
    """The kinds of what is found in messages with this HTML."""
    (folder / "body.html").write_text(html)
    return kinds(looked(folder, THREE, 'subject = "x"\nhtml_file = "body.html"'))


WAY = 'headers = { List-Unsubscribe = "<https://example.com/u>" }'


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ('<a href="https://example.com/?n=%7B%7B%20name%20%7D%7D">page</a>', "link-mark"),
        ('<a href="https://example.com/?n=%7b%7bname%7d%7d">page</a>', "link-mark"),
        ('<img alt="" src="https://example.com/a.png" srcset="big.png 2x">', "image-nowhere"),
        ('<picture><source srcset="https://example.com/a.png, b.png 2x"></picture>', "image-nowhere"),
        ('<table background="back.png"><tr><td>x</td></tr></table>', "image-nowhere"),
        ('<div style="background:url(back.png)">x</div>', "image-nowhere"),
        ("<style>p { background: url('back.png') }</style>", "image-nowhere"),
        ('<img alt="" src="cid:nothing">', "image-nowhere"),
        ('<link rel="stylesheet" href="https://example.com/a.css">', "sheet-linked"),
        ("<p>Dear {first_name},</p>", "mark-brackets"),
        ("<p>Dear [[ First Name ]],</p>", "mark-brackets"),
        ("<p>Dear *|FIRST_NAME|*,</p>", "mark-brackets"),
        ("<p>Dear %FIRST_NAME%,</p>", "mark-brackets"),
        ("<p>Dear ${first_name},</p>", "mark-brackets"),
        ("<p>Dear *|FNAME|*,</p>", "mark-brackets"),
        ("<p>Dear %%Forename%%,</p>", "mark-brackets"),
        ("<p>Dear %recipient.first%,</p>", "mark-brackets"),
        ("<p>Dear {!Contact.FirstName},</p>", "mark-brackets"),
        ("<p>Dear [FNAME],</p>", "mark-brackets"),
        ("<p>Dear {LAST_NAME},</p>", "mark-brackets"),
        ("<p>To unsubscribe, click here.</p>", "unsubscribe-no-link"),
        ('<a href="#">Unsubscribe</a>', "unsubscribe-no-link"),
        ('<a href="#">Newsletter abbestellen</a>', "unsubscribe-no-link"),
    ],
)
def test_what_is_wrong_in_html(tmp_path: Path, html: str, kind: str) -> None:
    assert in_html(tmp_path, f"<body>{WORDS}{html}</body>") - ALWAYS == {kind}


@pytest.mark.parametrize(
    "html",
    [
        '<img alt="" src="https://example.com/a.png" srcset="https://example.com/b.png 2x, https://example.com/c.png">',
        '<a href="https://example.com/u?t={{ email | urlencode }}">Unsubscribe</a>',
        '<p>To unsubscribe, click <a href="https://example.com/u?t={{ email | urlencode }}">here</a>.</p>',
        '<p>Click <a href="https://example.com/u?t={{ email | urlencode }}">here</a> to unsubscribe.</p>',
        "<p>50% of {all} [others] and {{ first_name }}</p>",
        "<p>[DRAFT] {NEW} [FULL] [NAME THE DATE]</p>",
        '<link rel="icon" href="x.png">',
        "<style>@font-face { src: url(own.woff2) } p { background: url(#x) url(https://example.com/a.png) }</style>",
        '<table background="logo.png"><tr><td style="background:url(big.png)">x</td></tr></table>',
        '<img alt="" src="cid:logo.png">',
        "<p>To unsubscribe, reply with the word unsubscribe.</p>",
        "<p>Zum Abbestellen antworten Sie einfach mit 'Newsletter abbestellen'.</p>",
        '<img alt="" src="logo.png" srcset="big.png 2x, ./logo.png 1x">',
    ],
)
def test_what_is_right_in_html(tmp_path: Path, html: str) -> None:
    for name in ("logo.png", "big.png"):
        (tmp_path / name).write_bytes(b"image")
    assert in_html(tmp_path, f"<body>{WORDS}{html}</body>") == ALWAYS


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("To unsubscribe, click here.", True),
        ("To unsubscribe, click here: https://example.com/u", False),
        ("Answer with 'unsubscribe', and you hear no more of us.", False),
        ("To unsubscribe, write to off@example.com or click nowhere.", False),
    ],
)
def test_a_way_out_of_a_text_is_written_out(tmp_path: Path, text: str, is_found: bool) -> None:
    messages = looked(tmp_path, THREE, f'subject = "x"\ntext = "{text}"\n{WAY}')
    assert ("unsubscribe-no-link" in kinds(messages)) == is_found


@pytest.mark.parametrize(
    "mark", ["&#123;&#123; first_name }}", "{% raw %}{{ first_name }}{% endraw %}", "{{ '{{ first_name }}' }}"]
)
def test_a_mark_that_is_shown_has_its_braces_already(tmp_path: Path, mark: str) -> None:
    (tmp_path / "body.html").write_text(f"<body>{WORDS}<p>{mark}</p></body>")
    finding = found("mark-brackets", looked(tmp_path, THREE, 'subject = "x"\nhtml_file = "body.html"'))
    assert finding.what == "a message says '{{ first_name }}': it is shown as it stands"
    assert finding.remedy is not None
    assert "&#123;" in finding.remedy
    assert "two braces" not in finding.remedy


def test_what_one_message_has_many_of_is_one_finding(tmp_path: Path) -> None:
    images = "".join([f'<img alt="" src="missing{number}.png">' for number in range(22)])
    (tmp_path / "body.html").write_text(f"<body>{WORDS}{images}</body>")
    messages = looked(tmp_path, "email\na@example.com\n", 'subject = "x"\nhtml_file = "body.html"')
    finding = found("image-nowhere", messages)
    assert finding.count == 1
    assert all(f"missing{number}.png" in finding.what for number in range(22))


def test_an_image_is_one_however_it_is_referred_to(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"logo")
    (tmp_path / "body.html").write_text(f'<body>{WORDS}<img alt="" src="logo.png"><img alt="" src="./logo.png"></body>')
    messages = looked(tmp_path, "email\na@example.com\n", 'subject = "x"\nhtml_file = "body.html"')
    assert messages.facts["parts"] == "text · HTML · logo.png"


def test_a_large_image(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"x" * 1_000_001)
    assert "image-large" in in_html(tmp_path, f'<body>{WORDS}<img alt="" src="logo.png"></body>')


def test_a_fixed_to_is_seen_by_everybody(tmp_path: Path) -> None:
    messages = looked(tmp_path, THREE, f'{PLAIN}to = "Friends <friends@example.org>"')
    finding = found("to-fixed", messages)
    assert (finding.severity, finding.count) == (Severity.WARNING, 3)
    assert "friends@example.org" in finding.what
    assert "to-fixed" not in kinds(looked(tmp_path, THREE, f'{PLAIN}to = "{{{{ first_name }}}} <{{{{ email }}}}>"'))


def test_a_fixed_to_in_a_whole_message(tmp_path: Path) -> None:
    (tmp_path / "message.eml").write_text(
        "From: a@example.com\nTo: friends@example.org\nSubject: x\n\nHi {{ first_name }}\n"
    )
    assert "to-fixed" in kinds(looked(tmp_path, THREE, 'eml_file = "message.eml"'))


@pytest.mark.parametrize("value", ["NULL", "null", "#N/A", "nan", "NaN", "None", "n/a", "#REF!", "undefined"])
def test_a_name_that_is_none(tmp_path: Path, value: str) -> None:
    recipients = f"email,first_name\na@example.com,Ann\nb@example.com,{value}\n"
    finding = found("field-nothing", looked(tmp_path, recipients, 'text = "x"\nsubject = "Dear {{ first_name }}"'))
    assert finding.lines == (3,)


def test_a_truth_value_as_a_text(tmp_path: Path) -> None:
    recipients = '{"email": "a@example.com", "member": true}\n'
    messages = looked(tmp_path, recipients, 'text = "x"\nsubject = "Member: {{ member }}"', file="list.jsonl")
    assert "True" in found("field-truth", messages).what


def test_one_field_that_is_true_or_false_is_one_finding(tmp_path: Path) -> None:
    recipients = "".join(
        f'{{"email": "{name}@example.com", "member": {value}}}\n'
        for name, value in (("a", "true"), ("b", "false"), ("c", "true"))
    )
    messages = looked(tmp_path, recipients, 'text = "x"\nsubject = "Member: {{ member }}"', file="list.jsonl")
    assert found("field-truth", messages).count == 3


def test_two_records_with_one_personal_link(tmp_path: Path) -> None:
    recipients = "email,token\na@example.com,1\nb@example.com,2\nc@example.com,2\n"
    ways = 'headers = { List-Unsubscribe = "<https://example.com/u?t={{ token }}>" }'
    finding = found("unsubscribe-shared", looked(tmp_path, recipients, PLAIN + ways))
    assert "lines 3, 4" in finding.where
    own = recipients.replace("c@example.com,2", "c@example.com,3")
    assert "unsubscribe-shared" not in kinds(looked(tmp_path, own, PLAIN + ways))
    assert "unsubscribe-shared" not in kinds(looked(tmp_path, recipients, PLAIN + WAY))


async def test_domains_that_take_no_mail() -> None:
    zone = {
        "good.com MX": ["10 mx.good.com."],
        "old.com A": ["192.0.2.1"],
        "null.com MX": ["0 ."],
        "silent.com MX": [SILENT],
    }
    domains = Counter({"good.com": 9, "old.com": 1, "null.com": 2, "gone.com": 1, "silent.com": 1, "example.com": 5})
    with anyio.fail_after(GUARD):
        async with NameServer(zone) as server:
            section = await check_domains(domains, Lookup(server.address, 2.0))
    assert section is not None
    finding = found("recipient-domain", section)
    assert finding.what == "gone.com, null.com: these domains take no mail; 3 records are there"


@pytest.mark.parametrize(
    ("values", "is_personal"),
    [
        (("p/8f31ab", "p/77c0de", "p/77c0de"), True),
        (("p?token=a", "p?token=b", "p?token=b"), True),
        (("p?city=London", "p?city=Paris", "p?city=Paris"), False),
        (("p/8f31ab", "p/8f31ab", "p/8f31ab"), False),
        (("p/8f31ab", "p/77c0de", "p/77c0df"), False),
    ],
)
def test_two_records_with_one_link_to_a_page_of_their_own(
    tmp_path: Path, values: tuple[str, ...], is_personal: bool
) -> None:
    recipients = "email,page\n" + "".join(f"r{number}@example.com,{value}\n" for number, value in enumerate(values))
    (tmp_path / "body.html").write_text(
        f'<body>{WORDS}<a href="https://example.com/{{{{ page }}}}">Your page</a></body>'
    )
    messages = looked(tmp_path, recipients, 'subject = "x"\nhtml_file = "body.html"')
    assert ("link-shared" in kinds(messages)) == is_personal
    if is_personal:
        assert "lines 3, 4" in found("link-shared", messages).where


def test_the_remedy_names_the_field(tmp_path: Path) -> None:
    recipients = "email,Home Town,plan\na@example.com,NULL,\n"
    text = 'text = "{{ Home_Town }} {{ plan }}"\nsubject = "x"'
    assert "{{ Home_Town | default('…', true) }}" in (
        found("field-nothing", looked(tmp_path, recipients, text)).remedy or ""
    )
    campaign = load(tmp_path / "campaign.toml", resolve_credentials=False)
    finding = found("field-empty", RecordsCheck(campaign, limit=None).run()[0])
    assert "{{ plan | default('…', true) }}" in (finding.remedy or "")
