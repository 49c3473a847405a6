"""Data folders of earlier states, and the test that this state opens them."""
