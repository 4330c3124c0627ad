"""The recipients file, CSV or JSON Lines, as numbered records; a bad row is a value, not an exception."""

from batchsend.recipients.reader import RecordReader, open_recipients, open_records
from batchsend.recipients.record import BadRecord, Record

__all__ = ["BadRecord", "Record", "RecordReader", "open_recipients", "open_records"]
