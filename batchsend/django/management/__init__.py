"""What Django looks into for commands, where `batchsend.django` is among ``INSTALLED_APPS``."""
