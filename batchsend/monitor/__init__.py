"""A run watched from outside while it goes on: sampled now and then, so that watching costs its messages nothing."""
