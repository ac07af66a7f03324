# `make demo` and `make test` are all that a fresh machine needs: both set everything up first. Driving needs no
# torch; what trains networks does, and pip takes the build with CUDA, some GB, unless TORCH names another.
# Needs Python >= 3.10 with its headers, a C/C++ compiler and make; cmake and ROS 2 come from PyPI.

PYTHON ?= python3
ROS_DISTRO ?= jazzy
TORCH ?= torch==2.13.0
ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

DISTROS := jazzy kilted

# Relative on purpose: the checkout may lie in a path with spaces.
VENV := .venv$(if $(filter-out jazzy,$(ROS_DISTRO)),-$(ROS_DISTRO))
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip install --no-input --disable-pip-version-check
ROS_REQUIREMENTS := requirements/ros.txt $(wildcard requirements/ros-$(ROS_DISTRO).txt)

# The environment is complete in itself. What a sourced ROS installation or another environment's
# python left in the shell would mix two ROS distributions in one process.
ifneq ($(AMENT_PREFIX_PATH)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
  unexport LD_LIBRARY_PATH
endif
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH PYTHONHOME VIRTUAL_ENV
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
# What is simulated here must never hear, or move, a robot: this machine alone, and for tests a domain
# that test/conftest.py picks for each run.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST

.PHONY: help setup learn test lowest lint docs demo bench bench-mppi clean distclean

help:  ## show this text
	@echo "usage: make TARGET [ROS_DISTRO=jazzy|kilted] [PYTHON=python3] [ARGS='...']"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMPS)/requirements  ## create or update the environment and install the package into it
	@$(BIN)/python scripts/dev_install.py

learn: $(STAMPS)/torch setup  ## add torch, for meta-training and comparisons

test: learn  ## run the tests (ARGS: further arguments for pytest)
	env -u ROS_DOMAIN_ID $(BIN)/python -m pytest $(ARGS)

LOWEST := .venv-lowest

lowest: $(STAMPS)/venv  ## run the tests that need no ROS with the lowest versions that pyproject.toml allows
	@test -x $(LOWEST)/bin/python || $(BIN)/python -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --no-input --disable-pip-version-check -qq --only-binary :all: \
	  $$(sed -nE '/^dependencies/,/^\]/s/^ *"([a-z]+)>=([0-9.]+)",$$/\1==\2/p' pyproject.toml) \
	  "pytest<9" pytest-timeout hypothesis
	@$(LOWEST)/bin/python -m mppi_maml_ros.warm_up  # no test's time
	$(LOWEST)/bin/python -m pytest -m "not slow" test/core test/dynamics test/mppi test/safety test/cli/test_progress.py $(ARGS)

lint: learn  ## check the sources with ruff, and their types with mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: setup $(STAMPS)/docs  ## build the documentation as a site in build/site
	$(BIN)/mkdocs build --quiet $(ARGS)
	@echo "open build/site/index.html"

demo: setup  ## run 30 s of the whole system, report into demo_report/
	$(BIN)/mppi-maml demo $(ARGS)

BENCH := bench_report

bench: learn $(STAMPS)/bench  ## run every benchmark, write tables and JSON into bench_report/, compare ratios
	@mkdir -p $(BENCH)
	$(BIN)/python benchmarks/mppi.py --json $(BENCH)/mppi.json
	$(BIN)/python benchmarks/critics.py --json $(BENCH)/critics.json
	$(BIN)/python benchmarks/adaptation.py --json $(BENCH)/adaptation.json
	$(BIN)/python benchmarks/attempt.py --json $(BENCH)/attempt.json
	$(BIN)/python benchmarks/sampling.py --json $(BENCH)/sampling.json --plot $(BENCH)/sampling.png
	$(BIN)/python benchmarks/latency.py --json $(BENCH)/latency.json
	$(BIN)/python benchmarks/node_cpu.py --json $(BENCH)/node_cpu.json
	$(BIN)/python benchmarks/tick.py --json $(BENCH)/tick.json
	$(if $(wildcard benchmarks/meta.py),$(BIN)/python benchmarks/meta.py --json $(BENCH)/meta.json)
	@cp -n docs/results/width.json $(BENCH)/
	$(BIN)/python benchmarks/report.py $(BENCH) --out $(BENCH)/performance.md
	$(BIN)/python benchmarks/check.py $(BENCH)/mppi.json $(BENCH)/critics.json $(BENCH)/adaptation.json \
		$(BENCH)/attempt.json

bench-mppi: learn $(STAMPS)/bench  ## time the control step (JSON=FILE: write the numbers there)
	$(BIN)/python benchmarks/mppi.py $(if $(JSON),--json "$(JSON)") $(ARGS)

clean:  ## remove builds, caches and reports, keep the environment
	rm -rf build install log dist demo_report bench_report .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov .coverage *.egg-info
	find . -name .venv\* -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf $(LOWEST) $(foreach distro,$(DISTROS),.venv$(if $(filter-out jazzy,$(distro)),-$(distro)))

# -- what `make setup` is made of ----------------------------------------------------------------

$(STAMPS)/venv:
	@case "$$(uname -sm)" in "Linux x86_64") ;; *) \
	  echo "error: ROS 2 comes from PyPI for Linux on x86_64 alone, and this is $$(uname -sm): build in a" \
	    "workspace of a ROS installation with colcon, see \"In a ROS 2 workspace\" in README.md" >&2; exit 1;; esac
	@LC_ALL=C; case "$$PWD" in *[!\ -~]*) \
	  echo "error: $$PWD: rosidl cannot build in a folder with letters beyond ASCII, move the checkout" >&2; exit 1;; esac
	@case " $(DISTROS) " in *" $(ROS_DISTRO) "*) ;; *) \
	  echo "error: ROS_DISTRO=$(ROS_DISTRO) has no wheels on PyPI: make ROS_DISTRO=jazzy (or: $(DISTROS))" >&2; exit 1;; esac
	@command -v "$(PYTHON)" >/dev/null || { echo "error: '$(PYTHON)' not found: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: $(PYTHON) is $$("$(PYTHON)" -V 2>&1), but Python 3.10 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null || { \
	  echo "error: the headers of $(PYTHON) are missing (Debian and Ubuntu: apt install python3-dev)" >&2; exit 1; }
	@for compiler in "$${CC:-cc}" "$${CXX:-c++}"; do command -v $$compiler >/dev/null || { \
	  echo "error: no C/C++ compiler ($$compiler) (Debian and Ubuntu: apt install g++)" >&2; exit 1; }; done
	@test -x $(BIN)/python || { echo "creating $(VENV)"; "$(PYTHON)" -m venv $(VENV); } || { \
	  rm -rf $(VENV); echo "error: $(PYTHON) cannot create environments (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@mkdir -p $(@D) && touch $@

$(STAMPS)/requirements: requirements/build.txt $(ROS_REQUIREMENTS) $(STAMPS)/venv
	@echo "installing ROS 2 $(ROS_DISTRO) and the build requirements"
	@$(PIP) -qq -r requirements/build.txt \
	  $$(sed -nE 's/^([a-z].*)$$/ros-$(ROS_DISTRO)-\1/p' $(ROS_REQUIREMENTS))
	@touch $@

# By version: a bare torch, drawn in by something else, may be another build of it. With the build requirements,
# as torch would bring a setuptools that is too new to build with.
$(STAMPS)/torch: $(STAMPS)/requirements
	@echo "installing $(TORCH)"
	@$(PIP) $(if $(CI),-qq) "$(TORCH)" -r requirements/build.txt
	@touch $@

$(STAMPS)/docs: requirements/docs.txt $(STAMPS)/requirements
	@$(PIP) -qq -r requirements/docs.txt
	@touch $@

# What the benchmarks compare with.
$(STAMPS)/bench: $(STAMPS)/torch
	@$(PIP) -qq pytorch_mppi
	@touch $@
