"""Django's send_mass_mail with batchsend's backend."""

from benchmarks.clients.django_mail import measure

if __name__ == "__main__":
    measure("batchsend.django.EmailBackend")
