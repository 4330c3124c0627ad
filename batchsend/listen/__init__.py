"""Listening for what comes back: one-click unsubscribes and relays' webhooks by HTTP, bounces by SMTP."""
