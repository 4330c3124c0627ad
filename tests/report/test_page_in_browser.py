"""The page in a real browser: nothing runs, nothing is asked for, and it fits a telephone, by day and by night."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from batchsend.report.html import render
from tests.report.browser import DESKTOP, PHONE, Browser, Scheme
from tests.report.logs import begin, end, everything, invalid, outcome, rejected, report_of

pytestmark = pytest.mark.slow

BREAKS_OUT = (
    "<script>document.title='ran'</script>",
    "<img src='http://192.0.2.1/x' onerror=\"document.title='ran'\">",
    "</style><style>@import 'http://192.0.2.1/x.css';</style>",
    "</title></svg><svg onload=\"document.title='ran'\"></svg>",
    "<meta http-equiv=refresh content='0;url=http://192.0.2.1/'>",
    "<iframe src='http://192.0.2.1/'></iframe>",
)


def written(folder: Path, *lines: bytes) -> str:
    """The address of the page of a log of these lines."""
    came_back(folder)
    path = folder / "report.html"
    path.write_text(render(report_of(folder, *lines), version="0.1.0"))
    return path.as_uri()


def came_back(folder: Path) -> None:
    """A feedback log beside the log, with domains as long as they can be, and all that breaks out."""
    domain = ".".join(["e" * 63] * 3 + ["example.com"])
    complaint = {"record": 5, "recipient": f"a@{domain}", "kind": "complained"}
    bounce = {"record": 6, "recipient": f"a@{domain}", "kind": "bounced", "hard": True, "code": 550, "said": "x" * 500}
    breaking = [{"record": 7 + n, "recipient": f"a@{text}", "kind": "complained"} for n, text in enumerate(BREAKS_OUT)]
    lines = [complaint, bounce, *breaking]
    (folder / "results.feedback.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def long_names() -> list[bytes]:
    """A log whose names and replies are as long as they can be, and have no place to break them at."""
    domain = ".".join(["d" * 63] * 3 + ["example.com"])
    return [
        begin(campaign=f"/{'c' * 255}/campaign.toml"),
        *(rejected(n, recipient=f"a@{domain}", reply=f"5.1.1 {'x' * 2000}") for n in range(1, 4)),
        *(outcome(n, after=n * 3600.0, session=n, recipient=f"a@{n}.example.com") for n in range(4, 40)),
        *(outcome(n, elapsed=n / 10, attempt=n) for n in range(40, 60)),
        invalid(60, "y" * 2000),
        end(after=200_000, stopped="z" * 500, learned={"max_messages": 123_456_789, "l" * 300: 1e9}),
    ]


@pytest.mark.parametrize("scheme", get_args(Scheme))
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("lines", [everything(), long_names()], ids=["everything", "long names"])
def test_it_is_as_wide_as_the_screen(
    browser: Browser, tmp_path: Path, lines: list[bytes], width: int, scheme: Scheme
) -> None:
    address = written(tmp_path, *lines)
    with browser.page() as page:
        page.show(address, width=width, scheme=scheme)
        assert page.evaluate("document.documentElement.clientWidth") == width
        assert page.evaluate("document.documentElement.scrollWidth") == width
        too_wide = page.evaluate(
            "[...document.querySelectorAll('body *')].filter(element => {"
            " const box = element.getBoundingClientRect();"
            " return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5)"
            "}).map(element => element.outerHTML.slice(0, 200))"
        )
        assert too_wide == []
        assert page.requests == [address]
        assert page.messages == []


def luminance(colour: str) -> float:
    """The relative luminance of a colour as the browser computes it (WCAG 2.2)."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_is_dark_where_that_is_preferred_and_can_be_read_in_both(browser: Browser, tmp_path: Path) -> None:
    address = written(tmp_path, *everything())
    grounds = {}
    for scheme in get_args(Scheme):
        with browser.page() as page:
            page.show(address, scheme=scheme)
            assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
            grounds[scheme] = luminance(
                page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor")
            )
            for selector, property_ in (("body", "color"), (".note", "color"), (".label", "fill"), ("code", "color")):
                found = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{property_}")
                light, dark = sorted((luminance(found), grounds[scheme]), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{selector} in {scheme}"
    assert grounds["light"] > 0.9
    assert grounds["dark"] < 0.05


def test_what_others_have_written_does_not_run_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    lines = [begin(campaign=f"/{BREAKS_OUT[0]}/campaign.toml")]
    for number, text in enumerate(BREAKS_OUT, 1):
        told = {"recipient": f"a@{text}", "reply": text, "reason": text, "enhanced": text}
        lines += [rejected(number, **told), outcome(100 + number, reply=text, recipient=text)]
        lines += [invalid(200 + number, text), rejected(300 + number, **told)]
    lines.append(end(stopped="".join(BREAKS_OUT), learned={BREAKS_OUT[1]: 1}))
    address = written(tmp_path, *lines)
    with browser.page() as page:
        page.show(address)
        assert page.evaluate("document.title").endswith(": report")
        assert page.evaluate("document.querySelectorAll('script, img, iframe, link').length") == 0
        assert BREAKS_OUT[0] in page.evaluate("document.body.innerText")
        assert (page.requests, page.dialogs, page.messages) == ([address], [], [])


def test_its_policy_would_stop_what_were_not_escaped(browser: Browser, tmp_path: Path) -> None:
    """The second wall: the same, had the first one a hole."""
    path = Path(tmp_path / "holed.html")
    whole = render(report_of(tmp_path, *everything()), version="0.1.0")
    path.write_text(whole.replace("</main>", f"{''.join(BREAKS_OUT[:2])}<p style='color:red'></p></main>"))
    with browser.page() as page:
        page.show(path.as_uri())
        assert page.evaluate("document.title") == "spring: report"
        assert page.requests == [path.as_uri()]
        said = " ".join(page.messages)
        assert all(directive in said for directive in ("script-src", "img-src", "style-src"))
