"""Bytes under a key: ``base`` is the contract, the others fulfil it. Wrappers are backends too."""
