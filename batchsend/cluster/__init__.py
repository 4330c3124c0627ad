"""The same run on several machines, over PostgreSQL: campaigns as lots, leases with epochs, one account.

`publish` puts a campaign into the database, `Worker` sends what is there, `collect` writes the ordinary results log.
Nothing is imported here: who does not use a cluster does not pay for it.
"""
