"""Messages: from a record to a submission: templates, headers, MIME, addresses."""

from batchsend.message.composer import Composer
from batchsend.message.submission import Envelope, Submission
from batchsend.recipients.suppression import Suppression

__all__ = ["Composer", "Envelope", "Submission", "Suppression"]
