"""SQL: the schema (``models``), statements and sessions (``sql``), the databases behind them, and migrations."""
