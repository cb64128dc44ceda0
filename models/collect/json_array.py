"""A JSON array of any length, element by element."""
