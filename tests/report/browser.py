"""Chromium without a window, told what to do over the DevTools protocol; nothing that it asks of a network gets out."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import pytest
from websockets.sync.client import connect

from tests.servers.requirements import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

Scheme = Literal["light", "dark"]

WITHIN = 30.0
PHONE = 360
DESKTOP = 1280
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *(
        "--disable-extensions",
        "--disable-default-apps",
        "--mute-audio",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ),
    *("--remote-debugging-address=127.0.0.1", "--remote-debugging-port=0", "about:blank"),
)


def chromium() -> str:
    """The browser's program; without it the test is left out."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("chromium is not on this machine")
    return found


@dataclass
class Page:
    """One page, open in the browser.

    Attributes:
        messages: What the browser has complained of: errors of scripts, and what the page's policy forbids.
        dialogs: The dialogs that scripts have opened.
    """

    _socket: ClientConnection
    _session: str
    _numbers: Iterator[int]
    messages: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    _asked: dict[str, str] = field(default_factory=dict)

    @property
    def requests(self) -> list[str]:
        """The addresses that it has asked for; what its policy forbids is not asked for."""
        return list(self._asked.values())

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        number = next(self._numbers)
        message = {"id": number, "sessionId": self._session, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def show(self, address: str, *, width: int = DESKTOP, scheme: Scheme = "light") -> None:
        """Open a page as a screen of this width and a user with this preference see it, and wait until it is there."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=address)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path, *, height: int | None = None) -> None:
        """Keep the page as a PNG: all of it, or so much from its top."""
        width = self.evaluate("document.documentElement.clientWidth")
        whole = height or self.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": whole, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=WITHIN))
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self._asked[parameters["requestId"]] = parameters["request"]["url"]
            case "Network.loadingFailed" if parameters.get("blockedReason") == "csp":
                del self._asked[parameters["requestId"]]
            case "Page.javascriptDialogOpening":
                self.dialogs.append(parameters["message"])
            case "Runtime.exceptionThrown":
                self.messages.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.messages.append(parameters["entry"]["text"])
        return message


class Browser:
    """A running browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = count(1)

    @contextmanager
    def page(self) -> Iterator[Page]:
        """An empty page, gone with the context."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        yield Page(self._socket, session, self._numbers)
        self._call("Target.closeTarget", targetId=target)

    def frames(self) -> list[Page]:
        """The frames that have a process of their own, as sandboxed ones do, of all pages that are open."""
        targets = self._call("Target.getTargets")["targetInfos"]
        frames = [target["targetId"] for target in targets if target["type"] == "iframe"]
        sessions = [self._call("Target.attachToTarget", targetId=frame, flatten=True)["sessionId"] for frame in frames]
        return [Page(self._socket, session, self._numbers) for session in sessions]

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=WITHIN))).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    command = [chromium(), f"--user-data-dir={profile}", *_FLAGS]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("DevTools listening on "):
                break
        else:
            pytest.fail(f"chromium did not start: {''.join(said)}")
        # No pings: their thread draws from the generator of `random`, which other tests seed for what they compare, and
        # a browser that has ended closes its connection.
        with connect(said[-1].split()[-1], max_size=None, open_timeout=WITHIN, ping_interval=None) as socket:
            yield Browser(socket)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stderr.close()
        process.wait(WITHIN)
