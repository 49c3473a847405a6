"""The tree in SQL: nodes, versions, places of the past, trash, locks and properties.

Everything here runs in a session that the caller brings, and knows nothing of rights.
"""
