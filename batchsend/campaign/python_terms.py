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
_TABLE: Final = late_pattern(rf"\[{{1,2}}({'|'.join(_TABLES)})\]{{1,2}}")
# One key and what to set it to; the table stands behind it where it would not be known without.
_SETTING: Final = late_pattern(
    r'(?P<set>\bset )?\b(?P<key>[a-z_]+) = (?P<value>"[^"]*"|\[[^\]]*\]|\d+|true|false)(?: in \[\w+\])?'
)
_LIST: Final = late_pattern(r"\{ (file = [^}]*) \}")  # an entry of `suppress`
_VALUES: Final = {"true": "True", "false": "False"}
_FROM: Final = late_pattern(r"\bkey from of \[message\]")


def in_python(text: str) -> str:
    """A remedy, or another text for the user, for a program whose settings stand in no file.

    >>> in_python('check host in [server]; or set tls = "implicit"')
    'check host in Server(…); or give Server(tls="implicit")'
    """
    text = _FROM.sub("key from_ of [message]", text)
    text = _LIST.sub(lambda entry: f"SuppressionList({entry[1].replace(' = ', '=')})", text)
    text = _SETTING.sub(_as_argument, text)
    return _TABLE.sub(lambda table: _TABLES[table[1]], text).replace("this key of the campaign file", "this value")


@contextmanager
def python_terms(campaign: Campaign | None = None) -> Iterator[None]:
    """Have the remedies of errors that are raised here speak to a program.

    Args:
        campaign: What they are about; nothing changes where it stands in a file. None for settings that stand in none.
    """
    try:
        yield
    except BatchsendError as error:
        if error.remedy is not None and (campaign is None or not _is_in_a_file(campaign)):
            before, error.remedy = error.remedy, in_python(error.remedy)
            error.args = tuple(error.remedy if one == before else one for one in error.args)
        raise


def _as_argument(setting: re.Match[str]) -> str:
    key, value = setting["key"], setting["value"]
    for owner in (Server, Delivery, Campaign, Message):
        if key in owner.__struct_fields__:
            return f"{'give ' if setting['set'] else ''}{owner.__name__}({key}={_VALUES.get(value, value)})"
    return setting[0]


def _is_in_a_file(campaign: Campaign) -> bool:
    # Its path is as it was given, and the program may have gone to another folder since.
    return (campaign.directory / campaign.path.name).is_file()
