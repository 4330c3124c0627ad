"""The loop that many scripts have: one session of smtplib, one message after the other. smtplib.toml does the same job.

    python smtplib_loop.py smtp.example.com 587

What it does not do: go on after a lost connection, keep an account, wait for more than one reply at a time.
"""

from __future__ import annotations

import csv
import html
import os
import smtplib
import ssl
import sys
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

HERE = Path(__file__).parent
TEXT = "Hello {name},\n\nyour card is ready. Come by in {city}.\n"
HTML = "<p>Hello {name},</p>\n<p>your card is ready. Come by in <b>{city}</b>.</p>\n"


def message(row: dict[str, str]) -> EmailMessage:
    """One row's message."""
    made = EmailMessage()
    made["From"] = "The Reading Room <hello@mail.example.com>"
    made["To"] = Address(row["name"], addr_spec=row["email"])
    made["Subject"] = f"Welcome, {row['name']}"
    made.set_content(TEXT.format(**row))
    escaped = {name: html.escape(value) for name, value in row.items()}
    made.add_alternative(HTML.format(**escaped), subtype="html")
    return made


def main(host: str, port: int) -> None:
    """Send to everybody in recipients.csv."""
    with smtplib.SMTP(host, port) as smtp, (HERE / "recipients.csv").open(encoding="utf-8", newline="") as file:
        if "SMTP_PASSWORD" in os.environ:
            smtp.starttls(context=ssl.create_default_context())
            smtp.login(os.environ["SMTP_USERNAME"], os.environ["SMTP_PASSWORD"])
        for row in csv.DictReader(file):
            smtp.send_message(message(row))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
