"""The hand on the wheel of a run under way: a socket beside its results log, and who speaks through it."""
