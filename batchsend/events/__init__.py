"""Telling others: the results log and the feedback log followed, and posted as signed webhooks."""
