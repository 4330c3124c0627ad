"""Delivery: a bounded pool of long-lived sessions, opened by aiosmtplib and then driven by `batchsend.smtp`."""
