# `make` alone lists the targets. Everything is installed into .venv beside this file and nowhere else.
#   make train args="experiment=classification/digits seed=2"     passes overrides on
#   make train PYTHON=/opt/python3.12/bin/python3                 chooses the Python that .venv is made with

VENV    := .venv
PY      := $(VENV)/bin/python
NOTES   := $(VENV)/.tenfold
LOG     := $(NOTES)/pip.log
DISK_GB ?= $(if $(filter Darwin,$(shell uname)),3,12)
PYTHON  ?= python3.13 python3.12 python3.11 python3.14 python3 python
args    ?=

# A stamp says that one set of extras is installed. Its name holds the checksum of pyproject.toml, and of this folder's
# path since an editable install remembers it, so that neither a touched nor a checked-out file installs anything again.
KEY   := $(shell { cat pyproject.toml; pwd; } | cksum | tr -dc 0-9)
STAMP := $(NOTES)/$(KEY)-

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install train test lint bench dashboard clean FORCE

help: ## list these targets
	@echo "usage: make TARGET [args=\"...\"]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)export ## make .venv and install Tenfold into it

train: $(STAMP)export ## train the default recipe; args="..." overrides it
	@$(VENV)/bin/tenfold train $(args)

test: $(STAMP)test ## run the whole test suite; args="..." goes to pytest
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal $(args)

lint: $(STAMP)lint ## check style, formatting and types
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

bench: $(STAMP)bench ## measure speed and quality beside the peers; args="..." chooses
	@$(PY) tests/benchmarks/run.py $(args)

dashboard: $(STAMP)export ## open TensorBoard over outputs/
	@$(VENV)/bin/tensorboard --logdir outputs $(args)

clean: ## remove caches and build products; .venv and outputs/ stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find conf src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the install -----------------------------------------------------------------------------------------------------

RECENT      := import sys; sys.exit(sys.version_info < (3, 11))
usable      := test ! -e $(NOTES)/cut-short && { $(PY) -m pip --version || $(PY) -m ensurepip; } >/dev/null 2>&1
find_python := for python in $(PYTHON); do "$$python" -c '$(RECENT)' 2>/dev/null && break; python=; done
free_gb     := df -Pk . | awk 'NR == 2 { print int($$4 / 1048576) }'

# Prints the one line that stops an install before it begins, or nothing.
checks = if $(usable); then \
    $(PY) -c '$(RECENT)' || \
      echo "$(VENV) has $$($(PY) -V), Tenfold needs 3.11 or newer: remove $(VENV) and run make again"; \
  else $(find_python); \
    if test -z "$$python"; then \
      echo "no Python 3.11 or newer found (tried $(PYTHON)): install one, or name it with PYTHON=..."; \
    elif ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
      echo "$$python cannot make a .venv, its venv module is missing: on Debian and Ubuntu, apt install $$( \
        "$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
    elif test "$$($(free_gb))" -lt $(DISK_GB); then \
      echo "too little disk: the first install takes up to $(DISK_GB) GB," \
        "$$($(free_gb)) GB are free here (DISK_GB=0 tries all the same)"; \
    fi; \
  fi
stop_if = $(if $(1),$(error $(1)))

# Of what pip says, shows the large downloads and the long silence at the end. The note `cut-short` stands while files
# are being copied: where it is found later, that install was interrupted and .venv is made anew.
progress = while read -r line; do printf '%s\n' "$$line" >>$(LOG); case $$line in \
    "pip ended "*) exit $${line\#pip ended };; \
    "Downloading "*"("[0-9][0-9]*" MB)"* | "Downloading "*" GB)"*) \
      set -- $$line; echo "  Downloading $${2%%-*} ($${line\#\#*(}";; \
    "Installing collected packages"*) touch $(NOTES)/cut-short; set -- $$line; \
      echo "  Installing packages: $$(($$\# - 3))";; \
  esac; done

# pip's own last error, or what lies behind it.
cause = if grep -q "Retrying (Retry(total=0" $(LOG); then echo "the package registry does not answer"; \
  else { grep "^ERROR" $(LOG) || grep -v "^pip ended" $(LOG); } | tail -n 1; fi

# A stamp in a .venv whose Python is gone says nothing.
$(STAMP)%: $(shell test -x $(PY) || echo FORCE)
	$(call stop_if,$(shell $(checks)))
	@$(usable) || { $(find_python); echo "Making $(VENV) with $$("$$python" -V)"; "$$python" -m venv --clear $(VENV); }
	@mkdir -p $(NOTES) && find $(NOTES) -name '[0-9]*-*' ! -name '$(KEY)-*' -exec rm -f {} +
	@echo "Installing tenfold[$*] into $(VENV) (the first time: about 6 GB, some minutes)"; : >$(LOG); \
	{ $(PY) -m pip install --disable-pip-version-check --no-input --progress-bar off -e '.[$*]' 2>&1; \
	  echo "pip ended $$?"; } | { $(progress); } || \
	{ echo "tenfold: the install failed: $$($(cause)) (all of it: $(LOG))" >&2; exit 2; }
	@rm -f $(NOTES)/cut-short && touch $@
