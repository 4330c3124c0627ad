"""OpenDKIM as a verifier: the library behind many mail servers, with a file in the place of the DNS."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from tests.servers import requirements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_WITHIN = 60.0
_RESULT = re.compile(r"\bdkim=(?P<result>\w+)[^;]* header\.s=(?P<selector>[\w.-]+)")


def verify(folder: Path, messages: Sequence[bytes], records: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what OpenDKIM says of each message's signatures, by selector: ``pass``, ``fail`` and so on.

    Args:
        folder: An empty folder for the messages and the configuration.
        messages: The messages.
        records: The text records that it finds in the DNS.
    """
    keys = folder / "keys"
    keys.write_text("".join(f"{name} {record}\n" for name, record in records.items()))
    configuration = folder / "opendkim.conf"
    configuration.write_text(f"Mode v\nTestPublicKeys {keys}\nAlwaysAddARHeader yes\nSyslog no\n")
    said: list[dict[str, str]] = []
    for number, message in enumerate(messages):
        path = folder / f"{number}.eml"
        path.write_bytes(message)
        # The results of all signatures stand in the Authentication-Results field (RFC 8601) that it would add.
        command: list[str | Path] = [requirements.program("opendkim"), "-x", configuration, "-vv", "-t", path]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_WITHIN)
        assert "Authentication-Results" in ended.stdout, ended
        said.append({match["selector"]: match["result"] for match in _RESULT.finditer(ended.stdout)})
    return said
