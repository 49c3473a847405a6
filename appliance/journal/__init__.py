"""One row for each change of a tree, written in the transaction that makes the change."""
