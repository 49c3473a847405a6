"""What several folders of tests use: databases, content, faults and damage. Fixtures are in ``tests/conftest.py``."""
