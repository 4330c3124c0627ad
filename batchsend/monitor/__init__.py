"""Watches a run while it goes on, by samples of it: the live view, progress lines and Prometheus metrics."""
