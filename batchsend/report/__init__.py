"""Stage ⑤: what a run came to, for people."""
