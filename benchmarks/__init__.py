"""Holdfast beside its peers, and by itself: speed, cost, big stores, idle servers. `python3 dev.py bench` runs it.

Nothing of the product imports this package; it uses the product as a user does, but for the generator of big stores.
"""
