"""Stage ④: the account of what became of every record."""
