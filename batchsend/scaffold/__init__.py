"""New campaign folders: from three answers, or from what another program was configured with."""

from batchsend.scaffold.draft import Draft
from batchsend.scaffold.folder import write
from batchsend.scaffold.recipients import Recipients
from batchsend.scaffold.relay import RelayAnswers

__all__ = ["Draft", "Recipients", "RelayAnswers", "write"]
