"""Django's send_mass_mail with Django's own SMTP backend."""

from benchmarks.clients.django_mail import measure

if __name__ == "__main__":
    measure("django.core.mail.backends.smtp.EmailBackend")
