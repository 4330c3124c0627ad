"""One record's message looked at before anything is sent: as a terminal, a browser or a file shows it."""
