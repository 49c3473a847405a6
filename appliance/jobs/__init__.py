"""Work that the server does by itself: the clock (APScheduler), and leases so that of several nodes one does it."""
