"""How many requests and bytes a user, a token and an address may have in a minute (docs/design/rate-limits.md)."""
