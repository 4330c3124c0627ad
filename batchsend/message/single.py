"""Composing for programs: a message with templates, filled in for one record at a time, and not sent."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from batchsend.campaign import Message, check_message
from batchsend.campaign.python_terms import of_message, python_terms, speak_to_a_program
from batchsend.errors import BatchsendError, UsageError, require, require_path
from batchsend.message.composer import Composer
from batchsend.message.submission import Submission  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.recipients import Record


class Template:
    """A message whose templates are compiled once.

    >>> message = Message(from_="shop@example.com", subject="Hello, {{ name }}", text="Your order is on its way.")
    >>> submission = Template(message).render({"email": "ada@example.com", "name": "Ada"})
    >>> submission.envelope.forward_path, b"Subject: Hello, Ada" in submission.content
    ('ada@example.com', True)

    Args:
        message: The message as ``[message]`` of a campaign file has it.
        directory: The folder of its files: templates include, and records attach, files inside it only. None for the
            current one.
        recipient_field: The field that holds a record's address; None to find it by its name, such as ``email``.

    Raises:
        UsageError: A template, header, file or address of the message is wrong, which is named by its attribute, as in
            ``Message.from_``; or it has an ``unsubscribe`` link, which only a run can answer for.
        TypeError: An argument is of a wrong type.
    """

    def __init__(
        self, message: Message, *, directory: Path | str | None = None, recipient_field: str | None = None
    ) -> None:
        require(message, "message", Message)
        require(recipient_field, "recipient_field", str, NoneType)
        folder = Path.cwd() if directory is None else require_path(directory, "directory").absolute()
        with python_terms():
            check_message(message, folder)
        if message.unsubscribe is not None:
            raise UsageError(
                "Message.unsubscribe is a link that a run's log answers for",
                remedy="Set the header yourself, or send a Batch.",
            )
        # It is part of each Message-ID: no two templates have the same.
        with python_terms():
            self._composer = Composer(
                message,
                directory=folder,
                batch_id=secrets.token_hex(12),
                recipient_field=recipient_field,
                called=of_message,
            )
        self._rendered = 0

    def render(self, record: Mapping[str, Any], *, number: int | None = None) -> Submission:
        """Fill in everything for one record.

        Args:
            record: The values of the templates' variables, by name; one of them is the recipient's address.
            number: What results call it, and a part of its Message-ID, from 1; None for one more than the last.

        Returns:
            What `Sender.send_message` takes.

        Raises:
            RecordError: The record cannot be sent; the message names the field, header or template, and why.
            UsageError: ``number`` is below 1.
            TypeError: An argument is of a wrong type.
        """
        require(record, "record", Mapping)
        names: list[object] = list(record)
        for name in names:
            require(name, "a field's name", str)
        require(number, "number", int, NoneType)
        if number is not None and number < 1:
            raise UsageError(f"number is {number}", remedy="expected a number from 1")
        self._rendered = self._rendered + 1 if number is None else number
        try:
            return self._composer.compose(Record(self._rendered, self._rendered, dict(record)))
        except BatchsendError as error:
            speak_to_a_program(error, alone=True)
            raise
