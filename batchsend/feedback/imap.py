"""Mail that is read from an IMAP server, over TLS only; what has been kept is marked as seen, or moved."""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from functools import partial
from imaplib import IMAP4
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from batchsend.errors import RunError, UsageError
from batchsend.feedback.entities import MOST_READ
from batchsend.version import with_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

SCHEME: Final = "imaps://"
PASSWORD: Final = "BATCHSEND_IMAP_PASSWORD"  # noqa: S105 - the name of the variable that holds it
"""The environment variable that holds the password."""

_PORT: Final = 993
_TIMEOUT: Final = 60.0
_AT_ONCE: Final = 20  # messages that are fetched by one command: with MOST_READ what they may take in memory
_BODY: Final = f"BODY.PEEK[]<0.{MOST_READ}>"
_REMEDY: Final = f"imaps://USER@HOST/FOLDER, a @ in USER written as %40; the password in {PASSWORD}"


def fetched(
    url: str, move: str | None, *, mark: bool, stack: ExitStack
) -> Iterator[tuple[str, bytes, Callable[[], None] | None]]:
    """The messages of a folder that have not been seen; with a folder to move them to, all that are there.

    Args:
        url: ``imaps://user@host:port/folder``; without a folder INBOX.
        move: Where a message goes when it is done; None marks it as seen.
        mark: Whether a message is marked or moved at all; otherwise the folder stays as it is.
        stack: What ends the connection: messages may be done after the last one was fetched.

    Yields:
        Each message's name and content, and what says that it is done.

    Raises:
        UsageError: The URL is none, the password is missing or refused, the folder is not there, or the extra
            ``feedback`` is not installed.
        RunError: The server cannot be reached, its certificate is not valid, or the connection is lost.
    """
    host, port, user, folder = _taken_apart(url)
    password = os.environ.get(PASSWORD)
    if not password:
        raise UsageError(f"{url}: no password", remedy=_REMEDY)
    with _told(url):
        client = stack.enter_context(_connected(host, port))
        client.login(user, password)
        yield from _of_folder(client, url, folder, move, mark=mark)


def _connected(host: str, port: int) -> Any:
    try:
        from imapclient import IMAPClient  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "mail is read from IMAP servers by IMAPClient, which is not installed",
            remedy=with_extra("feedback"),
        ) from None
    return IMAPClient(host, port=port, ssl=True, ssl_context=ssl.create_default_context(), timeout=_TIMEOUT)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What goes wrong at a server, as errors that say what to do."""
    try:
        yield
    except IMAP4.abort as error:
        raise _lost(url, error) from None
    except IMAP4.error as error:
        raise UsageError(f"{url}: the server refused: {error}", remedy=_REMEDY) from None
    except OSError as error:
        raise _lost(url, error) from None


def _lost(url: str, error: Exception) -> RunError:
    return RunError(
        f"{url}: the mail cannot be read: {error}",
        remedy="read again when the server is there: what was kept already is not kept twice",
    )


def _taken_apart(url: str) -> tuple[str, int, str, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if host is None or not parts.username or parts.password is not None:
        raise UsageError("a mailbox is not named rightly: the URL needs a host and a user, no password", remedy=_REMEDY)
    return host, port, unquote(parts.username), unquote(parts.path.strip("/")) or "INBOX"


def _of_folder(
    client: Any, url: str, folder: str, move: str | None, *, mark: bool
) -> Iterator[tuple[str, bytes, Callable[[], None] | None]]:
    if move is not None and mark and not client.has_capability("MOVE"):
        raise UsageError(f"{url}: the server cannot move messages (RFC 6851)", remedy="leave --move out")
    client.select_folder(folder, readonly=not mark)
    found = client.search(["UNDELETED"] if move is not None else ["UNSEEN", "UNDELETED"])
    for begin in range(0, len(found), _AT_ONCE):
        several = found[begin : begin + _AT_ONCE]
        contents = client.fetch(several, [_BODY])
        for uid in several:
            octets = contents.get(uid, {}).get(b"BODY[]<0>")
            if octets is not None:  # somebody else may have removed it in the meantime
                done = partial(_done, client, url, uid, move) if mark else None
                yield f"{url};UID={uid}", octets, done


def _done(client: Any, url: str, uid: int, move: str | None) -> None:
    with _told(url):
        if move is None:
            client.add_flags([uid], [rb"\Seen"], silent=True)
        else:
            client.move([uid], move)
