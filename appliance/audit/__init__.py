"""The audit trail: who did what, when and from where; sealed in a chain, so that what is changed afterwards shows
(docs/design/audit.md). The rows are those of the journal and of ``appliance.journal.events``.
"""
