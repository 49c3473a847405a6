"""The server's processes: a supervisor that owns port and data folder, the workers, and the scheduler."""
