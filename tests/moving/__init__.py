"""Moving the database of a store."""
