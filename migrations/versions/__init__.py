"""One revision a file, NNNN_verb_noun.py; a revision that was released never changes."""
