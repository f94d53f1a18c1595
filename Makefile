# Every target runs `python dev.py TARGET`, which also works without make.
# Arguments: make demo ARGS="--exit --tasks 4". Another Python: make test PYTHON=python3.12
PYTHON ?= python3
ARGS ?=

COMMANDS := demo quick test serve worker lint types check format bench bench-pages honesty chaos engines mutants fuzz desktop-check packages images lock audit setup help

.DEFAULT_GOAL := help
.PHONY: $(COMMANDS)

$(COMMANDS):
	@$(PYTHON) dev.py $@ $(ARGS)
