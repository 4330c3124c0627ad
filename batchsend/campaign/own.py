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
        logs: What the paths of the results log and its companions begin with, their folder included.
    """

    files: frozenset[str] = frozenset()
    logs: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        """Whether a file is one of them.

        Args:
            path: The file, symbolic links resolved.
        """
        if path in self.files:
            return True
        return path.startswith(self.logs) and any(
            path.startswith(log) and "/" not in path[len(log) :] for log in self.logs
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
    files = frozenset(os.path.realpath(path) for path in named if path is not None and path != "-")
    log = Path(os.path.realpath(campaign.results))
    return OwnFiles(files, (str(log), str(feedback_path(log))))
