"""Django: the e-mail backend ``batchsend.django.EmailBackend``, and an app with the command ``send_campaign``."""

from batchsend.django.backend import EmailBackend

__all__ = ["EmailBackend"]
