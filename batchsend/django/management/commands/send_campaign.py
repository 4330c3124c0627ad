"""``manage.py send_campaign``: sends a campaign file through the server of a Django project's settings."""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from batchsend.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

_FROM_SETTINGS: Final = ("EMAIL_HOST", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD")


class Command(BaseCommand):  # type: ignore[misc]  # Django says nothing of its types
    """Runs ``batchsend send``; `CommandError` has its exit code where not everybody was accepted.

    In the campaign file ``${EMAIL_HOST}``, ``${EMAIL_HOST_USER}`` and ``${EMAIL_HOST_PASSWORD}`` are the settings of
    the project, unless the environment has variables of these names.
    """

    help = "Send a campaign file, as batchsend send does; ${EMAIL_HOST…} in its [server] is what the settings say."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as Django has it; nothing of the project is used

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take the campaign, and hand on whatever follows it."""
        parser.add_argument("campaign", help="The campaign file.")
        parser.add_argument(
            "options",
            nargs=argparse.REMAINDER,
            help="Options of batchsend send, such as --dry-run; options of manage.py come before the campaign.",
        )

    def handle(self, *args: Any, campaign: str, options: list[str], **more: Any) -> None:  # noqa: ARG002 - Django's
        """Send it.

        Raises:
            CommandError: Not every record was accepted or suppressed; ``returncode`` is what ``batchsend send`` exits
                with, and its words are on standard error.
        """
        with _settings_in_environment():
            try:
                main(["send", campaign, *options])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        if code:
            raise CommandError(f"batchsend send has ended with exit code {code}", returncode=code)


@contextmanager
def _settings_in_environment() -> Iterator[None]:
    """The server's settings, where a campaign file looks for ``${NAME}``; what is there already stays."""
    added = {name: str(getattr(settings, name) or "") for name in _FROM_SETTINGS if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
