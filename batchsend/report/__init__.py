"""What a campaign has come to, read from its results log: on the terminal, as an HTML page, as JSON and as CSV."""
