"""One run of a campaign: what wires recipients, message, delivery and results together."""
