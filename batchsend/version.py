"""The version of batchsend."""

__version__ = "0.1.0"
