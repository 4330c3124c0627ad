"""What comes back after a message was accepted: bounces, complaints, unsubscribes; and the log of it."""
