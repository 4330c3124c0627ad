"""What can be known of a campaign before it is sent: records, messages, the server, the DNS. Nothing is sent."""

from batchsend.check.finding import Finding, Report, Section, Severity
from batchsend.check.inspection import Inspection

__all__ = ["Finding", "Inspection", "Report", "Section", "Severity"]
