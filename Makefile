PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin/python

.PHONY: install run test check soak audit wheel clean

run: $(VENV)/.installed
	$(BIN) run.py

# What the service needs, and the command line, .venv/bin/i2t
install: $(VENV)/.installed

# make test ARGS="-k healthz"
# Two files at a time: what a file's tests share is made once.
test: $(VENV)/.installed-dev
	$(BIN) -m pytest --numprocesses 3 --dist loadfile $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN) -m ruff check
	$(BIN) -m ruff format --check
	$(BIN) -m mypy
	$(VENV)/bin/lint-imports

# Checks that take minutes each; make soak ARGS="clients --minutes 2" for one of them, shorter
soak: $(VENV)/.installed-dev
	$(BIN) -m benchmarks.soak $(ARGS)

# Known vulnerabilities of what is installed
audit: $(VENV)/.installed-dev
	$(BIN) .ci/audit.py

wheel: $(VENV)/.installed-dev
	$(BIN) -m build --wheel

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: a changed requirements file installs again.
$(VENV)/.installed: requirements.txt install.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, and $(PYTHON) is older: name one, as in make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	sh install.sh $(BIN) requirements.txt
	$(BIN) -m pip install --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements-train.txt $(VENV)/.installed
	$(BIN) -m pip install -r requirements-dev.txt
	touch $@
