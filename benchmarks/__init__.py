"""The same work by batchsend and by its rivals, on one machine, to one server, in turns."""
