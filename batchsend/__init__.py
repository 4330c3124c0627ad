"""Send a campaign through an SMTP relay, fast, with an exact account of every recipient."""

from batchsend.batch import Batch, send
from batchsend.campaign import Campaign, Delivery, Message, Rate, Server, Timeouts, load
from batchsend.delivery.sender import Sender
from batchsend.errors import BatchsendError, RecordError, RunError, SessionError, UsageError
from batchsend.message import Envelope, Submission
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.report.summary import Summary
from batchsend.results.choice import Choice
from batchsend.results.resumption import Resumption
from batchsend.version import __version__

__all__ = [
    "Batch",
    "BatchsendError",
    "Campaign",
    "Choice",
    "Delivery",
    "DeliveryResult",
    "Envelope",
    "Message",
    "Outcome",
    "Rate",
    "RecordError",
    "Resumption",
    "RunError",
    "Sender",
    "Server",
    "SessionError",
    "Stage",
    "Submission",
    "Summary",
    "Timeouts",
    "UsageError",
    "__version__",
    "load",
    "send",
]
