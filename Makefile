# `make help` lists what there is. PYTHON=python3.13 make ... chooses the interpreter; each has its own environments.

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ENVS := .local/env/$(VERSION)
RUN := $(ENVS)/project/bin/python
SAM := $(ENVS)/sam/bin/sam
export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help demo studio up down backfill invoke redrive test chromium screenshots bench storm check format openapi lock sbom build deploy guard clean python

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: up  ## make variations of a picture on this machine: IMAGE=path N=4
	@$(RUN) -m infra.local.demo $(if $(IMAGE),--image "$(IMAGE)") $(if $(N),--n $(N))

studio: up  ## open the Studio on this machine: drop pictures on a page, choose among variations
	@$(RUN) -m infra.local.studio

up: $(ENVS)/project/.local $(ENVS)/emulator/.installed  ## start the whole stack on this machine
	@$(RUN) -m infra.local.stack up

down:  ## stop it and remove what it left
	@if [ -x $(RUN) ]; then $(RUN) -m infra.local.stack down; else echo "The local stack was never up."; fi

backfill: up  ## make variations of many pictures: PREFIX=archive/ IMAGES=folder, or MANIFEST=s3://bucket/list.csv
	@$(RUN) -m infra.local.backfill $(if $(PREFIX),--prefix "$(PREFIX)") $(if $(MANIFEST),--manifest "$(MANIFEST)") \
	    $(if $(IMAGES),--images "$(IMAGES)") $(if $(OPTIONS),--options '$(OPTIONS)') $(if $(ID),--id "$(ID)")

invoke: up  ## send an event to the local stack: EVENT=events/generate_variations.json
	@$(RUN) -m infra.local.invoke "$(EVENT)"

redrive: up  ## put failed jobs of the local stack back on the queue
	@$(RUN) -m infra.local.redrive

test: check chromium  ## check, then run every test: unit, contract, integration, end to end, in a browser
	$(RUN) -m pytest --numprocesses 2 --dist loadfile tests/unit tests/contract tests/integration
	$(RUN) -m pytest --numprocesses 2 --dist loadfile tests/e2e

chromium: $(ENVS)/project/.uv  ## look for the browser that tests drive, and install it where root has apt-get
	@$(RUN) -m infra.browser

screenshots: up chromium $(ENVS)/project/.dev  ## take the pictures of the Studio that docs/ shows, of the local stack
	@$(RUN) -m tests.e2e.screenshots

TEMPLATES := template.yaml infra/deploy/role.yaml
check: $(ENVS)/project/.dev $(ENVS)/emulator/.installed $(ENVS)/sam/.installed $(ENVS)/checkov/.installed  ## lint, types, template
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy functions infra
	$(RUN) -m infra.openapi --check
	$(RUN) -m infra.supply_chain check
	$(RUN) -m infra.supply_chain licences --check
	$(ENVS)/sam/bin/cfn-lint --template $(TEMPLATES) --append-rules cfn_lint_serverless.rules
	$(RUN) -m infra.state_machines > .local/state-machines.json
	$(ENVS)/sam/bin/cfn-lint --template .local/state-machines.json
	$(SAM) validate --lint
	$(ENVS)/checkov/bin/checkov --framework cloudformation --skip-download --compact --quiet --file $(TEMPLATES)

PEERS := boto3_only openai_sdk fastapi_mangum litellm
bench: $(ENVS)/project/.dev $(ENVS)/sam/.installed $(ENVS)/bench/.installed $(PEERS:%=$(ENVS)/bench-%/.installed)  ## measure us beside workers with an SDK or a framework (a quarter of an hour; OPTIONS=--quick: four minutes)
	$(RUN) -m tests.bench $(OPTIONS)

storm: $(ENVS)/project/.dev $(ENVS)/emulator/.installed  ## put us and a plain worker through the same storm (ten minutes)
	$(RUN) -m tests.bench.storm

format: $(ENVS)/project/.dev  ## bring the code into its form
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

openapi: $(ENVS)/project/.dev  ## write functions/openapi.json from the code
	$(RUN) -m infra.openapi

sbom: $(ENVS)/project/.dev  ## write what the layer is made of as CycloneDX 1.6: FILE=sbom.cdx.json
	$(RUN) -m infra.supply_chain sbom $(or $(FILE),sbom.cdx.json)

build: $(ENVS)/sam/.installed  ## build what is deployed
	$(SAM) build

deploy: build  ## deploy to your AWS account: guided, or by samconfig.toml with CONFIG=dev or CONFIG=prod
	$(SAM) deploy $(if $(CONFIG),--config-env $(CONFIG),--guided)

guard: $(ENVS)/project/.local  ## have deployments undone after which alarms go off: STACK=name MINUTES=10, or MINUTES=off
	@$(RUN) -m infra.deploy.guard "$(STACK)" $(MINUTES)

lock: $(ENVS)/project/.dev  ## write the hashed requirements files from pyproject.toml
	$(RUN) -m infra.lock

clean: down  ## stop the stack and remove everything that was installed or built
	rm -rf .local .aws-sam

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "$(PYTHON) is missing or older than 3.11. Install Python 3.11 to 3.14, or say PYTHON=python3.13 make ..."; \
	    exit 1; }

# Each environment is complete when its mark is younger than its requirements. uv takes a third of pip's time; where it
# finds no packages, pip does, which has its own configuration of mirrors. On Linux there are wheels of everything, so
# nothing is ever built, which would run the package's code; a Mac has to build two or three.
UV_INSTALL = pip install --quiet --no-deps --no-build --require-hashes --requirement
PIP_INSTALL = install -qq --disable-pip-version-check --no-deps --no-compile --require-hashes \
    $(if $(filter Linux,$(shell uname -s)),--only-binary=:all:) --requirement

define INSTALL
@test -x $(@D)/bin/python || $(PYTHON) -m venv --without-pip $(@D)
@$(ENVS)/project/bin/uv $(UV_INSTALL) $< --python $(@D)/bin/python 2>/dev/null || \
    $(RUN) -m pip --python $(@D)/bin/python $(PIP_INSTALL) $<
@touch $@
endef

$(ENVS)/project/.uv: requirements/uv.txt | python
	@echo "Installing the local stack (once, about a minute) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(ENVS)/project
	@$(RUN) -m pip $(PIP_INSTALL) $<
	@touch $@

$(ENVS)/project/.local: requirements/local.txt $(ENVS)/project/.uv
	$(INSTALL)

$(ENVS)/project/.dev: requirements/dev.txt $(ENVS)/project/.local
	@echo "Installing the test tools ..."
	$(INSTALL)

$(ENVS)/%/.installed: requirements/%.txt $(ENVS)/project/.uv
	@echo "Installing $(notdir $(@D)) ..."
	$(INSTALL)

$(ENVS)/bench/.installed: tests/bench/requirements.txt $(ENVS)/project/.uv
	@echo "Installing $(notdir $(@D)) ..."
	$(INSTALL)

$(ENVS)/bench-%/.installed: tests/bench/peers/%/requirements.txt $(ENVS)/project/.uv
	@echo "Installing $(notdir $(@D)) ..."
	$(INSTALL)
