# The same verbs as dev.py, for hands that type make. Arguments: make test ARGS="-k quota"
PYTHON ?= python3

.PHONY: setup run test check fix soak bench
setup run test check fix soak bench:
	@$(PYTHON) dev.py $@ $(ARGS)
