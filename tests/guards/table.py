"""All guards, in the order of the manual's page on security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.guards import local, network

if TYPE_CHECKING:
    from tests.guards.guard import Guard

GUARDS: Final[tuple[Guard, ...]] = (
    *local.FIELDS,
    *local.FILES,
    *local.TEMPLATES,
    *local.LISTS,
    *network.TLS,
    *network.CREDENTIALS,
    *network.SERVER,
    *local.TERMINAL,
    *local.OTHERS,
    *network.RETURNS,
    *network.LISTENER,
    *network.PAGE,
)
