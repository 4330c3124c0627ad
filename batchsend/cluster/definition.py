"""A campaign as it lies in the database: its tables as JSON, its files beside them; never a credential.

What a worker needs of its own: the variables that ``[server]`` names as ``${NAME}``, the private keys of DKIM in a
folder (``--keys``), and the key of ``batch.verp`` in its environment.
"""

from __future__ import annotations

import copy
import os
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct

from batchsend.campaign.document import Document
from batchsend.campaign.loader import load_document
from batchsend.campaign.own import own_files
from batchsend.cluster.database import ClusterError
from batchsend.errors import UsageError
from batchsend.message import Composer
from batchsend.message.verp import VARIABLE, Verp, load_key, throwaway_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchsend.campaign import Campaign, Server

_SECRETS: Final = ("password", "token")
_MESSAGE_FILES: Final = ("html_file", "text_file", "markdown_file", "style_file", "eml_file")
_NOT_NEEDED: Final = ("recipients", "results", "encoding", "sheet", "where")
_CA: Final = ".batchsend-ca"


class Packed(Struct):
    """A campaign as it is stored.

    Attributes:
        tables: The campaign file's tables, without what only publishing needs.
        files: The files that are known before a record was composed: where they lie, by their names in the database.
        relays: What all workers call its relays, in order: host and port, and a trace of the user's name.
    """

    tables: dict[str, Any]
    files: dict[str, Path]
    relays: list[str]

    def definition(self) -> bytes:
        """The JSON of it; the same for the same campaign."""
        return orjson.dumps(self.tables, option=orjson.OPT_SORT_KEYS)

    def fingerprint(self, recipients: str, lists: Iterable[Path]) -> str:
        """What tells this campaign, sent to these recipients, from any other.

        Args:
            recipients: What tells the recipients file from any other.
            lists: The files that say whom not to write to.
        """
        digest = sha256(self.definition())
        digest.update(recipients.encode())
        for path in (*(self.files[name] for name in sorted(self.files)), *lists):
            digest.update(sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def pack(campaign: Campaign, document: Document) -> Packed:
    """Take a campaign apart.

    Args:
        campaign: The campaign, checked.
        document: The tables that it was made of, in which no ``${NAME}`` was replaced.

    Raises:
        ClusterError: It holds a credential, or has a worker run a program.
    """
    tables = {name: value for name, value in copy.deepcopy(document.tables).items() if name not in _NOT_NEEDED}
    files: dict[str, Path] = {}
    tables["recipients"] = "-"
    delivery = tables.get("delivery", {})
    for name in ("suppress", "exclude"):
        delivery.pop(name, None)
    for place, table in enumerate(tables["server"]):
        _refuse_secrets(document, place, table)
        ca_file = campaign.servers[place].ca_file
        if ca_file is not None:
            name = f"{_CA}/{place}.pem"
            table["ca_file"] = name
            files[name] = ca_file
    message = campaign.message
    for name in _MESSAGE_FILES:
        path: Path | None = getattr(message, name)
        if path is not None:
            tables["message"][name] = inside(path, campaign.directory)
            files[tables["message"][name]] = path
    for number, attachment in enumerate(message.attachments):
        given = attachment if isinstance(attachment, str) else attachment.file
        if "{" in given:
            continue
        name = inside(campaign.directory / given, campaign.directory)
        files[name] = campaign.directory / given
        if isinstance(attachment, str):
            tables["message"]["attachments"][number] = name
        else:
            tables["message"]["attachments"][number]["file"] = name
    for number, dkim in enumerate(message.dkim):
        tables["message"]["dkim"][number]["key_file"] = dkim.key_file.name
    return Packed(tables, files, [_relay(*pair) for pair in zip(campaign.servers, tables["server"], strict=True)])


def _relay(server: Server, table: Mapping[str, Any]) -> str:
    """What a relay is called: two accounts at one host have limits of their own, and a name is told to nobody."""
    user = table.get("username")
    whose = f" {sha256(str(user).encode()).hexdigest()[:8]}" if user is not None else ""
    return f"{server.host}:{server.port}{whose}"


def inside(path: Path, directory: Path) -> str:
    """The name in the database of a file in the campaign's folder: its path from there.

    Raises:
        ClusterError: It is not in the folder.
    """
    found = Path(os.path.realpath(path))
    if not found.is_relative_to(directory):
        raise ClusterError(
            f"{path} is not in the campaign's folder, so it cannot be published", remedy=f"copy it to {directory}"
        )
    # The name that the campaign uses, not the one that a symbolic link leads to: templates ask for the former.
    asked = Path(os.path.normpath(path))
    return str((asked if asked.is_relative_to(directory) else found).relative_to(directory))


def _refuse_secrets(document: Document, place: int, table: dict[str, Any]) -> None:
    for name in _SECRETS:
        if name in table and "${" not in str(table[name]):
            raise document.about(
                ("server", place, name),
                "stands in the file itself, and would stand in the database",
                "name a variable that each worker has in its environment: ${NAME}",
            )
    if "token_command" in table:
        raise document.about(
            ("server", place, "token_command"),
            "is a program, and no worker runs what the database says",
            'have each worker\'s environment hold the token: token = "${NAME}"',
        )


def unpack(
    definition: str, files: Mapping[str, bytes], folder: Path, *, keys: Path | None, environ: Mapping[str, str]
) -> Campaign:
    """Put a campaign together on a worker.

    Args:
        definition: What `Packed.definition` gave.
        files: The campaign's files by name.
        folder: Where they are written to; empty.
        keys: Where the private keys of DKIM lie, or None.
        environ: Where ``${NAME}`` is looked up.

    Raises:
        UsageError: This worker lacks something, or what is stored is no campaign; the message says what.
    """
    folder = folder.resolve()
    tables = orjson.loads(definition)
    for name, content in files.items():
        path = folder / _safe(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for server in tables.get("server", ()):
        if "token_command" in server:
            raise ClusterError("the database names a program to run, and no worker does", remedy="publish it anew")
    for signature in tables["message"].get("dkim", ()):
        if keys is None:
            raise ClusterError(
                f"needs the private key {signature['key_file']}",
                remedy="say where this worker's keys lie: --keys FOLDER",
            )
        signature["key_file"] = str(keys.resolve() / Path(signature["key_file"]).name)
    try:
        return load_document(Document(folder / "campaign.toml", tables), environ=environ)
    except UsageError as error:
        # Where the files lie on this worker is nothing that the reader of this knows.
        raise ClusterError(error.message.replace(f"{folder}/", ""), remedy=error.remedy) from None


def _safe(name: str) -> PurePosixPath:
    """A file's name, which may be anything where somebody else has written to the database.

    Raises:
        ClusterError: It leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ClusterError(f"the database has a file called {name!r}", remedy="publish the campaign anew")
    return path


def composer(campaign: Campaign, run: str, *, publishing: bool = False) -> Composer:
    """What makes the messages of a published campaign: the same Message-IDs on every worker.

    Args:
        campaign: The campaign.
        run: Its run's identity.
        publishing: The messages are only looked at, so their return paths need not be signed in earnest.

    Raises:
        UsageError: The campaign's message is wrong, or the key of its return paths is not in the environment.
    """
    verp = Verp(run, throwaway_key if publishing else _verp_key)
    if "batch.verp" in (campaign.message.return_path or ""):
        verp.prepare()
    return Composer(
        campaign.message,
        directory=campaign.directory,
        batch_id=run,
        recipient_field=campaign.recipient_field,
        verp=verp,
        own=own_files(campaign),
    )


def _verp_key() -> bytes:
    if not os.environ.get(VARIABLE):
        raise ClusterError(
            f"needs {VARIABLE}, with which its return paths are signed",
            remedy="give every worker the same, and who reads what comes back, too",
        )
    return load_key(Path(os.devnull)) or b""
