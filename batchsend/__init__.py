"""Send a campaign through an SMTP relay, fast, with an exact account of every recipient."""

from importlib import import_module
from typing import TYPE_CHECKING

from batchsend.version import __version__

if TYPE_CHECKING:
    from batchsend.campaign import Campaign, Delivery, Duration, Message, Rate, Secret, Server, Timeouts, load
    from batchsend.errors import BatchsendError, RecordError, RecordErrorKind, RunError, SessionError, UsageError
    from batchsend.message import Envelope, Submission
    from batchsend.message.single import Template
    from batchsend.outcome import DeliveryResult, Outcome, Stage
    from batchsend.results.choice import Choice
    from batchsend.results.resumption import Resumption
    from batchsend.run.batch import Batch, send
    from batchsend.run.summary import Summary
    from batchsend.sender.blocking import SyncSender
    from batchsend.sender.sender import Sender
    from batchsend.sender.unfinished import UnfinishedError

__all__ = [
    "Batch",
    "BatchsendError",
    "Campaign",
    "Choice",
    "Delivery",
    "DeliveryResult",
    "Duration",
    "Envelope",
    "Message",
    "Outcome",
    "Rate",
    "RecordError",
    "RecordErrorKind",
    "Resumption",
    "RunError",
    "Secret",
    "Sender",
    "Server",
    "SessionError",
    "Stage",
    "Submission",
    "Summary",
    "SyncSender",
    "Template",
    "Timeouts",
    "UnfinishedError",
    "UsageError",
    "__version__",
    "load",
    "send",
]

_HOMES = {
    "batchsend.run.batch": ("Batch", "send"),
    "batchsend.campaign": (
        *("Campaign", "Delivery", "Duration", "Message", "Rate", "Secret", "Server", "Timeouts", "load"),
    ),
    "batchsend.sender.blocking": ("SyncSender",),
    "batchsend.sender.sender": ("Sender",),
    "batchsend.sender.unfinished": ("UnfinishedError",),
    "batchsend.errors": ("BatchsendError", "RecordError", "RecordErrorKind", "RunError", "SessionError", "UsageError"),
    "batchsend.message.single": ("Template",),
    "batchsend.message": ("Envelope", "Submission"),
    "batchsend.outcome": ("DeliveryResult", "Outcome", "Stage"),
    "batchsend.run.summary": ("Summary",),
    "batchsend.results.choice": ("Choice",),
    "batchsend.results.resumption": ("Resumption",),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: who wants one part does not wait for all of them."""
    for home, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(home), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
