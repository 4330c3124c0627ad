"""The page of a run in a real browser: it lives, it changes the run, and it fits a telephone, by day and by night."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from tests.cli.commandline import ended, make_campaign, process, serving
from tests.cli.test_cli_control import Relay, changes, until
from tests.page.test_live_page import started
from tests.report.browser import DESKTOP, PHONE, Browser, Page, Scheme
from tests.report.test_page_in_browser import BREAKS_OUT, luminance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.page.test_live_page import Served

pytestmark = pytest.mark.slow


@pytest.fixture
def relays() -> Iterator[tuple[Relay, Relay]]:
    with serving(Relay()) as one, serving(Relay()) as other:
        yield one, other


@pytest.fixture
def served(tmp_path: Path, relays: tuple[Relay, Relay]) -> Iterator[Served]:
    """A run through two relays, one of which is called what would break out of the page."""
    rows = "".join(f"r{number}@example.com,N\n" for number in range(1, 6001))
    folder = tmp_path / "<b>spring"
    folder.mkdir()
    path = make_campaign(folder, f"email,name\n{rows}", delivery='rate = "60/s"\nprocesses = 1')
    tables = "".join(
        f"[[server]]\nname = '''{name}'''\nhost = \"{relay.host}\"\nport = {relay.port}\ntls = \"none\"\n{keys}\n"
        for relay, name, keys in (
            (relays[0], "ses", 'weight = 3\nquota = ["100/h", "3000/day"]'),
            (relays[1], BREAKS_OUT[1], 'weight = 1\nquota = "20000/day"'),
        )
    )
    path.write_text(path.read_text().replace('[server]\nhost = "smtp.example.com"\n', tables))
    running = process("send", path, "--no-progress", "--wait", "--page")
    try:
        yield started(running, folder)
    finally:
        running.kill()
        running.communicate()


def shows(page: Page, expression: str) -> bool:
    return bool(page.evaluate(expression))


def waits_for(page: Page, expression: str) -> None:
    until(lambda: shows(page, expression), expression)


def text(page: Page, identifier: str) -> str:
    return str(page.evaluate(f"document.getElementById('{identifier}').textContent"))


def press(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector('{selector}').click()")


def enter(page: Page, identifier: str, value: str) -> None:
    """Type a value, look elsewhere until the page has been refreshed, and send it."""
    page.evaluate(
        f"(field => {{ field.value = '{value}'; field.dispatchEvent(new Event('input')) }})"
        f"(document.getElementById('{identifier}'))"
    )
    refreshed(page)
    press(page, f"#{identifier}-form button")


def refreshed(page: Page) -> None:
    """Wait for the next state of the run to be shown: how long it has taken is in it."""
    first = text(page, "said")
    waits_for(page, f"document.getElementById('said').textContent !== '{first}'")


def address(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}{served.path}"


def test_it_lives_and_has_a_hand_on_the_wheel(browser: Browser, served: Served, relays: tuple[Relay, Relay]) -> None:
    def taken() -> int:
        return len(relays[0].times) + len(relays[1].times)

    with browser.page() as page:
        page.show(address(served))
        waits_for(page, "document.querySelectorAll('#chart g rect').length > 1")
        waits_for(page, "document.getElementById('relays').textContent.includes('asleep until')")
        assert "100 of 100/h" in text(page, "relays")
        assert text(page, "state") == "sending"
        refreshed(page)

        press(page, "#pause")
        waits_for(page, "document.getElementById('pause').textContent === 'Continue'")
        assert text(page, "answer").startswith("nothing new is begun")
        until(lambda: relays[0].open_now + relays[1].open_now == 0, "its sessions are closed")
        assert taken() == len(relays[0].accepted) + len(relays[1].accepted)
        press(page, "#pause")
        waits_for(page, "document.getElementById('pause').textContent === 'Pause'")
        enter(page, "rate", "600/s")
        before = taken()
        waits_for(page, "document.getElementById('answer').textContent === '600/s at most'")
        until(lambda: taken() > before + 500, "it is faster")
        enter(page, "connections", "1")
        waits_for(page, "document.getElementById('answer').textContent === '1 session at most'")
        until(lambda: relays[1].open_now == 1, "one session")
        enter(page, "rate", "fast")
        waits_for(page, "document.getElementById('answer').textContent.includes('a rate such as 100/s')")

        press(page, "#stop")
        assert text(page, "stop") == "Stop the run?"
        assert served.process.poll() is None
        press(page, "#stop")
        assert ended(served.process).code == 3
        waits_for(page, "!document.getElementById('gone').hidden")
        refusals = [message for message in page.messages if "Failed to load resource" not in message]
        assert (refusals, page.dialogs) == ([], [])
        assert {one.rpartition("/")[0] + "/" for one in page.requests if one != "data:,"} == {address(served)}
    assert changes(served.log) == [
        {"paused": True, "by": "page"},
        {"paused": False, "by": "page"},
        {"rate": "600/s", "by": "page"},
        {"max_connections": 1, "by": "page"},
    ]


@pytest.mark.parametrize("scheme", get_args(Scheme))
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_is_as_wide_as_the_screen_and_can_be_read(
    browser: Browser, served: Served, width: int, scheme: Scheme, tmp_path: Path
) -> None:
    with browser.page() as page:
        page.show(address(served), width=width, scheme=scheme)
        waits_for(page, "document.getElementById('relays').textContent.includes('asleep until')")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        too_wide = page.evaluate(
            "[...document.querySelectorAll('body *')].filter(element => {"
            " const box = element.getBoundingClientRect();"
            " return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5)"
            "}).map(element => element.outerHTML.slice(0, 200))"
        )
        assert too_wide == []
        assert page.evaluate("Math.max(...[...document.querySelectorAll('.quota')].map(one => one.offsetHeight))") < 60
        ground = luminance(page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor"))
        for selector, property_ in (("body", "color"), (".note", "color"), (".quota", "color"), (".label", "fill")):
            found = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{property_}")
            light, dark = sorted((luminance(found), ground), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{selector} in {scheme}"
        page.picture(tmp_path / f"live-{width}-{scheme}.png")
        assert page.messages == []


def test_what_others_have_written_is_text(browser: Browser, served: Served) -> None:
    with browser.page() as page:
        page.show(address(served))
        waits_for(page, "document.querySelectorAll('#relays tr').length > 1")
        assert text(page, "relays").find("onerror") > 0
        assert page.evaluate("document.title") == "<b>spring: under way"
        assert page.evaluate("document.querySelectorAll('img, b:not(.legend b), iframe').length") == 0
        assert (page.dialogs, page.messages) == ([], [])
