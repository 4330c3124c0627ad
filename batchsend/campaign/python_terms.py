"""What remedies call by the keys of a campaign file, in the terms of a program that has none: classes and arguments."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from batchsend.campaign.model import Campaign, Delivery, Message, Server
from batchsend.errors import BatchsendError
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

_TABLES: Final = {
    "server": "Server(…)",
    "message": "Message(…)",
    "message.dkim": "Dkim(…)",
    "message.headers": "Message(headers=…)",
    "delivery": "Delivery(…)",
    "delivery.timeouts": "Timeouts(…)",
    "delivery.dsn": "Dsn(…)",
    "events": "Events(…)",
}
_TABLE: Final = late_pattern(rf"\[{{1,2}}({'|'.join(_TABLES)})\]{{1,2}}(?: of the campaign file)?")
# One key and what to set it to; the table stands behind it where it would not be known without.
_SETTING: Final = late_pattern(
    r'(?P<set>\bset )?\b(?P<key>[a-z_]+) = (?P<value>"[^"]*"|\[[^\]]*\]|\d+|true|false)(?: in \[\w+\])?'
)
_LIST: Final = late_pattern(r"\{ (file = [^}]*) \}")  # an entry of `suppress`
_VALUES: Final = {"true": "True", "false": "False"}
_KEY_OF: Final = late_pattern(r"\bset it by the key ([a-z_]+) of \[message\]")
_OF_FILES: Final = (
    ("this key of the campaign file", "this value"),
    ("name it in the campaign file: ", "name it: "),
)
# A message that belongs to no campaign has a folder all the same: the argument says which.
_FOLDER: Final = ("the campaign's folder", "the message's directory")


def in_python(text: str) -> str:
    """A remedy, or another text for the user, for a program whose settings stand in no file.

    >>> in_python('check host in [server]; or set tls = "implicit"')
    'check host in Server(…); or give Server(tls="implicit")'
    """
    text = _KEY_OF.sub(lambda found: f"give Message({_attribute(found[1])}=…)", text)
    text = _LIST.sub(lambda entry: f"SuppressionList({entry[1].replace(' = ', '=')})", text)
    text = _SETTING.sub(_as_argument, text)
    text = _TABLE.sub(lambda table: _TABLES[table[1]], text)
    for of_a_file, of_a_program in _OF_FILES:
        text = text.replace(of_a_file, of_a_program)
    return text


def of_message(key: str) -> str:
    """What errors call a key of ``[message]`` where the message stands in no file: by class and attribute."""
    return f"Message.{_attribute(key)}"


@contextmanager
def python_terms(campaign: Campaign | None = None) -> Iterator[None]:
    """Have errors that are raised here speak to a program, as `speak_to_a_program` does.

    Args:
        campaign: What they are about; nothing changes where it stands in a file. None for settings that stand in none.
    """
    try:
        yield
    except BatchsendError as error:
        if campaign is None or not is_in_a_file(campaign):
            speak_to_a_program(error, alone=campaign is None)
        raise


def speak_to_a_program(error: BatchsendError, *, alone: bool) -> None:
    """Have an error say what to do, and where it is about the message's folder what happened, in a program's terms.

    Args:
        error: The error.
        alone: It is about settings of no campaign.
    """
    said: dict[object, str] = {}
    if error.remedy is not None:
        said[error.remedy] = in_python(error.remedy.replace(*_FOLDER) if alone else error.remedy)
        error.remedy = said[error.remedy]
    message = in_python(error.message) if error.message.endswith(" in [message]") else error.message
    said[error.message] = message.replace(*_FOLDER) if alone else message
    error.message = said[error.message]
    error.args = tuple(said.get(one, one) for one in error.args)


def _as_argument(setting: re.Match[str]) -> str:
    key, value = setting["key"], setting["value"]
    for owner in (Server, Delivery, Campaign, Message):
        if key in owner.__struct_fields__:
            return f"{'give ' if setting['set'] else ''}{owner.__name__}({key}={_VALUES.get(value, value)})"
    return setting[0]


def _attribute(key: str) -> str:
    return "from_" if key == "from" else key


def is_in_a_file(campaign: Campaign) -> bool:
    """Whether there is a file that its settings are from."""
    # Its path is as it was given, and the program may have gone to another folder since.
    return (campaign.directory / campaign.path.name).is_file()
