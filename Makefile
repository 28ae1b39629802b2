SHELL := /bin/bash
PYTHON ?= python3
.DEFAULT_GOAL := help

.PHONY: help setup demo test lint lock build clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create .venv and build ros2_ws (the targets below do it by themselves)
	@command -v $(PYTHON) > /dev/null || { echo "no $(PYTHON) found; name another: make PYTHON=<command>, or, as root on Debian and Ubuntu:"; \
		echo "  apt-get update && apt-get install -y --no-install-recommends $$(cat scripts/debian_packages.txt)"; exit 1; }
	@$(PYTHON) scripts/setup.py

demo: setup ## Run the stack on two simulated arms; writes out/demo/<time>/
	@./clwm demo

test: setup ## Run all tests
	@source scripts/env.sh && python scripts/run_tests.py

lint: setup ## Check style with ruff
	@source scripts/env.sh && ruff check . && ruff format --check .

lock: ## Resolve pyproject.toml into requirements.lock; UPGRADE=--upgrade takes newer releases
	@$(PYTHON) -m venv out/lock && out/lock/bin/pip install -q uv==0.13.9
	@out/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 --no-python-downloads \
		--no-annotate --custom-compile-command "make lock" $(UPGRADE) -q -o requirements.lock

build: setup ## Make wheel and source package of the ROS-free part in out/dist, and try both in empty environments
	@source scripts/env.sh && python scripts/build_package.py $(BUILD)

clean: ## Remove .venv, the colcon build and all outputs
	rm -rf .venv ros2_ws/build ros2_ws/install ros2_ws/log out .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
