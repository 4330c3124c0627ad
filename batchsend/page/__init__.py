"""One live page of a run under way: the report's page come alive, with a hand on the wheel."""
