"""The schema's history: Alembic's environment and revisions. ``appliance.db.migrate`` runs them."""
