"""The contestants' programs: each reads the task it is given and says in the end how many seconds the sending took."""
