# Everything a person runs. `make demo` and `make test` set up .venv by themselves.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export DO_NOT_TRACK ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-small test test-slow check bench bench-embedded instructpe-v0 rl-study embedded-models embedded-cards up down clean

help: ## what can be run
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | column -t -s '|'

setup: .venv/.ready ## the virtual environment, with pinned dependencies

# torch first and by its exact version: resolved with the rest, pip may fetch a CUDA build of gigabytes.
# Not compiled: 80 of 200 seconds went into bytecode of modules that nothing imports; those that are
# imported are compiled then.
.venv/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "The venv module is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## the whole factory on the embedded profile, in minutes, on a CPU
	@$(BIN)/diffchat demo

demo-small: setup ## the same on fewer prompts
	@$(BIN)/diffchat demo --small

test: setup ## all tests but the slow studies
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --durations=25 -m 'not slow'

test-slow: setup ## the slow studies: crashes, fuzzing, soak
	@$(BIN)/python -m pytest -m slow

check: setup ## lint, format, types, import rules, the commands of the README
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m tests.readme_commands

bench: setup ## benchmarks of warehouse, build, rendering and (after `make demo`) a PPO step; 40 minutes
	@for case in todo increment publish queries; do $(BIN)/python -m benchmarks.warehouse $$case || exit 1; done
	@for case in nothing increment overhead; do $(BIN)/python -m benchmarks.build $$case || exit 1; done
	@$(BIN)/python -m benchmarks.render
	@$(BIN)/python -m benchmarks.rl_step

# The classifier that judges renders does not ship; it is trained once, in minutes.
JUDGE := $${DIFFCHAT_HOME:-var}/embedded/checkpoints/adherence-papercut.pt
bench-embedded: setup ## adherence, scorers, headroom, speed of the embedded models, as tables
	@test -f $(JUDGE) || $(BIN)/python -m models.embedded adherence
	@for model in tis-sd tis-sdxl; do $(BIN)/python -m benchmarks.embedded --model $$model || exit 1; done
	@$(BIN)/python -m benchmarks.embedded_editing
	@$(BIN)/python -m benchmarks.embedded_scorers
	@$(BIN)/python -m benchmarks.headroom --scorer drawn renders
	@$(BIN)/python -m benchmarks.base_language
	@$(BIN)/python -m benchmarks.render

# The demo builds on the first 150 prompts; these are others, with more beautify and compound edits.
V0_KINDS := ["add", "remove", "replace", "attribute", "style", "lighting", "composition", \
    "beautify", "beautify", "compound", "compound", "follow_up"]
instructpe-v0: setup ## make profiles/data/instructpe-v0 again: rendered and decided, about an hour of one core
	@mkdir -p var/v0 && $(BIN)/python -m models.world.grammar 12500 | tail -n +151 > var/v0/v0_prompts.txt
	DIFFCHAT_HOME=var/v0 $(BIN)/diffchat build --prompts var/v0/v0_prompts.txt --licence Apache-2.0 \
	    --set 'render.seeds=[0]' --set tis.dtype=bfloat16 --set 'teacher.kinds=$(V0_KINDS)'
	rm -rf var/v0/export && DIFFCHAT_HOME=var/v0 $(BIN)/diffchat export var/v0/export
	cp var/v0/export/data/*.parquet profiles/data/instructpe-v0/data/

rl-study: setup ## ablations of the RL method, 5 seeds each; 3 to 4 hours, in the background, resumable
	@mkdir -p $${DIFFCHAT_HOME:-var}/studies
	@nohup $(BIN)/python -m benchmarks.rl_study --best-of 4 > $${DIFFCHAT_HOME:-var}/studies/rl.log 2>&1 & \
	    echo "running in the background; see $${DIFFCHAT_HOME:-var}/studies/rl.log"

# In the background and resumable: a killed run goes on from its checkpoints when started again.
EMBEDDED := $${DIFFCHAT_HOME:-var}/embedded
embedded-models: setup ## retrain the embedded models from nothing; hours, in the background
	@mkdir -p $(EMBEDDED)
	@nohup sh -c 'for step in $(STEPS); do $(BIN)/python -m models.embedded $$step || exit 1; done; \
	    $(MAKE) embedded-cards && $(MAKE) instructpe-v0' \
	    > $(EMBEDDED)/all.log 2>&1 & echo "training in the background; see $(EMBEDDED)/all.log"
STEPS ?= vae sd sdxl adherence clip aesthetic preference heldout lm ip2p

embedded-cards: setup ## figures in the cards of language model and scorers, golden values of the tests
	@mkdir -p $(EMBEDDED)
	$(BIN)/python -m benchmarks.embedded_scorers --json $(EMBEDDED)/figures.json
	$(BIN)/python -m models.embedded.cards $(EMBEDDED)/figures.json
	$(BIN)/python -m tests.models.golden

up: setup ## Prefect server, work pools, deployments and a worker, in the background
	@$(BIN)/diffchat up

down: setup ## stop what `make up` started
	@$(BIN)/diffchat down

clean: ## remove the environment and all that was built; asks first
	@read -rp "Remove .venv and $${DIFFCHAT_HOME:-./var}? [y/N] " a; [[ $$a == y ]] && rm -rf .venv "$${DIFFCHAT_HOME:-var}"
