"""The results log and its journal: the account of what became of every record."""
