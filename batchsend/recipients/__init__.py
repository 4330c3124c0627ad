"""Lists of recipients (CSV, JSON Lines, workbooks, results logs) as numbered records, and who is not written to."""

from batchsend.recipients.reader import RecordReader, open_recipients, open_records
from batchsend.recipients.record import BadRecord, Record

__all__ = ["BadRecord", "Record", "RecordReader", "open_recipients", "open_records"]
