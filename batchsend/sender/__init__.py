"""What other programs send by: one pool that any number of callers use at once, with or without a log of its own."""
