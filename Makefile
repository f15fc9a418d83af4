# SmallSpatial. `make` alone says what there is to type.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help experiment study list print smoke matrix score audit latency bias ranking compare cache-teacher export data bench figures gpu-bench \
	gpu-check test mutants drill fuzz lint format clean

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
READY := .venv/.ready
PROGRAM := .venv/bin/python -m experiments.run

# What the variables of `make experiment` mean on the command line.
NO := 0 no false
LATEST := $(filter 1 yes true latest,$(RESUME))
OPTIONS = $(if $(SCALE),--scale $(SCALE)) $(if $(SEED),--seed_everything $(SEED)) \
	$(if $(filter-out $(NO),$(RESUME)),--resume $(if $(LATEST),latest,$(RESUME))) \
	$(if $(DATA),--data.init_args.root '$(DATA)') $(ALLOWING) $(ARGS)
ALLOWING = $(foreach package,$(ALLOW),--allow '$(package)')

help:  ## show this
	@echo "SmallSpatial: small vision-language models that reason about space"
	@echo
	@awk -F ':.*## ' '/^[a-z-]*:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Start with:  make experiment NAME=quickstart"

experiment: $(READY)  ## NAME=name or /file.yaml [SCALE=tiny] [SEED=] [RESUME=1] [DATA=/folder] [ALLOW="mypackage"] [ARGS="--trainer.devices 4"]: fit, test, report
	@$(call need,NAME,make list)
	@$(PROGRAM) experiment -c '$(NAME)' $(OPTIONS)

study: $(READY)  ## NAME= [SCALE=tiny] [JOBS=2] [ALLOW=]: several experiments over several seeds, one table
	@$(call need,NAME,for example NAME=distillation)
	@.venv/bin/python -m experiments.commands.study '$(NAME)' $(if $(SCALE),--scale $(SCALE)) $(if $(JOBS),--jobs $(JOBS)) $(ALLOWING)

list: $(READY)  ## every experiment and the question it answers
	@.venv/bin/python -m experiments.commands.list

print: $(READY)  ## NAME= [SCALE=tiny]: the experiment's whole configuration, and which file set each value
	@$(call need,NAME,make list)
	@$(PROGRAM) print -c '$(NAME)' $(OPTIONS)

smoke: $(READY)  ## [NAME=]: every experiment, or one, at the tiny size
	@.venv/bin/python -m experiments.commands.smoke $(NAME) $(ALLOWING)

matrix: $(READY)  ## [NAME=] [JOBS=2]: every experiment, full-size file and tiny models, on copies of the published benchmarks
	@.venv/bin/python -m experiments.commands.matrix $(if $(NAME),'$(NAME)') $(if $(JOBS),--jobs $(JOBS))

score: $(READY)  ## BENCHMARK= TRUTH= PREDICTIONS=: score any system's file by the official rules
	@$(call need,BENCHMARK,for example BENCHMARK=ai_city_track3)
	@$(call need,TRUTH,the file with the true answers)
	@$(call need,PREDICTIONS,the file to score)
	@.venv/bin/python -m experiments.commands.score --benchmark '$(BENCHMARK)' --truth '$(TRUTH)' --predictions '$(PREDICTIONS)'

audit: $(READY)  ## RUN=name or folder [AUDITS="mirrored blindfolded"] [ALLOW=]: does a checkpoint understand or guess? one page
	@$(call need,RUN,a run's folder or the name of an experiment)
	@$(PROGRAM) audit --run '$(RUN)' $(if $(AUDITS),--audits '$(AUDITS)') $(ALLOWING)

latency: $(READY)  ## RUN=name or folder [N=200] [ALLOW=]: what an answer costs, one question at a time, by stages
	@$(call need,RUN,a run's folder or the name of an experiment)
	@$(PROGRAM) latency --run '$(RUN)' $(if $(N),--questions '$(N)') $(ALLOWING)

bias: $(READY)  ## BENCHMARK=ai_city_track3|cv_bench|omni_spatial TRUTH=/folder: what a test set gives away to who sees no picture
	@$(call need,BENCHMARK,ai_city_track3 cv_bench or omni_spatial)
	@$(call need,TRUTH,the folder that holds its test split)
	@$(PROGRAM) bias --benchmark '$(BENCHMARK)' --truth '$(TRUTH)'

ranking: $(READY)  ## published scores, and which of their differences the sets of questions can show
	@$(PROGRAM) ranking

export: $(READY)  ## NAME= [RUN=id] [MERGE=1] [TO=/folder]: what a run has trained, for use outside of this project
	@$(call need,NAME,make list)
	@.venv/bin/python -m experiments.export --name '$(NAME)' $(if $(RUN),--run '$(RUN)') \
		$(if $(filter-out $(NO),$(MERGE)),--merge) $(if $(TO),--to '$(TO)') $(ALLOWING)

cache-teacher: $(READY)  ## NAME= [SCALE=tiny] [DATA=/folder] [ARGS=]: what a teacher says of the training questions, to train without it
	@$(call need,NAME,for example NAME=distillation/logit_kd_cached)
	@.venv/bin/python -m experiments.commands.cache_teacher -c '$(NAME)' $(OPTIONS)

compare: $(READY)  ## A= B=: two runs (names or folders) on the same questions, by paired tests
	@$(call need,A,a run's folder or the name of an experiment)
	@$(call need,B,the run to compare it with)
	@.venv/bin/python -m experiments.commands.compare '$(A)' '$(B)'

data: $(READY)  ## NAME=ai_city_track3|cv_bench|omni_spatial|space_thinker TO=/folder: fetch a real benchmark with your own hub token
	@$(call need,NAME,ai_city_track3 cv_bench omni_spatial or space_thinker)
	@$(call need,TO,the folder to put it into)
	@.venv/bin/python -m experiments.commands.fetch --name '$(NAME)' --to '$(TO)'

bench: $(READY) .venv/.bench  ## measure what this project claims to be fast at, into runs/bench/
	@for file in $$(grep -l __main__ benchmarks/*.py | grep -v -e /on_gpu.py -e /measure_space.py); do \
		echo "== $$file"; .venv/bin/python -m "benchmarks.$$(basename "$$file" .py)" || exit 1; done

figures: $(READY)  ## the images of the README, into docs/
	@.venv/bin/python -m docs.figures

gpu-bench: $(READY)  ## [PARTS="tinygiant lora"]: figures of one GPU, within eight minutes
	@.venv/bin/python -m benchmarks.on_gpu $(PARTS)

gpu-check: $(READY)  ## [STEPS="lora figures"]: what runs on a GPU, and how fast, within fifteen minutes
	@.venv/bin/python -m benchmarks.gpu.check $(STEPS)

test: $(READY) $(if $(CI),lint)  ## [ARGS="-k name"]: the tests; in CI the lint as well
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

mutants: $(READY)  ## [PACKAGE=] [LIST=/folder] [JOBS=2]: faults planted on purpose, and whether the tests tell (up to an hour)
	@.venv/bin/python -m tests.mutants $(if $(PACKAGE),--package '$(PACKAGE)') \
		$(if $(LIST),--list '$(LIST)') $(if $(JOBS),--jobs $(JOBS))

drill: $(READY)  ## [NAME=]: faults of machines and people, done to small runs, and what comes of them (17 minutes)
	@.venv/bin/python -m tests.drills $(if $(NAME),--name '$(NAME)')

fuzz: $(READY)  ## [EXAMPLES=10000] [NAME=]: mutated records and files through every reader (most of an hour)
	@.venv/bin/python -m tests.fuzz $(if $(EXAMPLES),--examples '$(EXAMPLES)') $(if $(NAME),--name '$(NAME)')

lint: $(READY)  ## formatting, style and types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

format: $(READY)  ## format the code
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

clean:  ## remove caches and rendered scenes; runs/ and .venv/ stay
	rm -rf rendered_data .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# The environment: made when it is missing, brought up to date when what it depends on has changed.
$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "SmallSpatial needs Python 3.11 or newer, and found none. Install it, or say where it is: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than Python 3.11, which SmallSpatial needs." >&2; exit 1; }
	@test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	@echo "Installing the dependencies into .venv (once; a few minutes, several GB) ..." >&2
	@{ .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off \
		-c constraints.txt -e '.[dev,pretrained,qlora,retrieval]' 2>&1; echo "exit $$?"; } \
		| awk '/^exit /{code = $$2; next} \
			{log_[NR] = $$0} \
			/^ *(Downloading|Using cached) /{printf "  %3d %s\n", ++count, $$2; fflush()} \
			/^Installing collected/{print "  unpacking ..."; fflush()} \
			END{if (code) for (i = NR > 30 ? NR - 30 : 1; i <= NR; i++) print log_[i]; exit code}' >&2
	@touch $(READY)

# What `make bench` compares with, which nothing else needs.
.venv/.bench: $(READY)
	@.venv/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[bench]' >&2 || { \
		echo "make bench compares with other trainers (the extra bench of pyproject.toml, TRL), and pip could not" \
			"install it: is there a connection? A benchmark alone: .venv/bin/python -m benchmarks.NAME" >&2; \
		exit 1; }
	@touch .venv/.bench

need = if [ -z '$($(1))' ]; then echo "$(1)= is missing: $(2)" >&2; exit 2; fi
