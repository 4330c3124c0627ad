"""What every test may use: each asynchronous test runs on asyncio's own loop and on uvloop."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return the event loop of one run of a test, as anyio's pytest plugin wants it: the backend's name and options."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend
