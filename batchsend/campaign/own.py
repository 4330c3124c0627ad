"""The files that a campaign itself is made of, which nothing that comes from a list may name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from batchsend.campaign.model import SuppressionList, feedback_path

if TYPE_CHECKING:
    from batchsend.campaign.model import Campaign


class OwnFiles(Struct, frozen=True):
    """Files that are the campaign's own.

    Attributes:
        files: Their paths, symbolic links resolved.
        results: The results log, whose companions are told by their names; None for none.
    """

    files: frozenset[Path] = frozenset()
    results: Path | None = None

    def has(self, path: Path) -> bool:
        """Whether a file is one of them.

        Args:
            path: The file, symbolic links resolved.
        """
        if path in self.files:
            return True
        log = self.results
        return (
            log is not None and path.parent == log.parent and path.name.startswith((log.name, feedback_path(log).name))
        )


NO_FILES: Final = OwnFiles()
"""Where there is no campaign file."""


def own_files(campaign: Campaign) -> OwnFiles:
    """The files of a campaign: itself, its lists, its keys and certificates, and its logs."""
    delivery = campaign.delivery
    lists = [one.file if isinstance(one, SuppressionList) else one for one in delivery.suppress]
    keys = [signature.key_file for signature in campaign.message.dkim]
    servers = [path for server in campaign.servers for path in (server.ca_file, server.password_file)]
    named = [campaign.path, campaign.recipients, *lists, *delivery.exclude, *keys, *servers]
    files = frozenset(Path(os.path.realpath(path)) for path in named if path is not None and path != "-")
    return OwnFiles(files, Path(os.path.realpath(campaign.results)))
