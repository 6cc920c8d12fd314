# The usual verbs. Each is one line over a script or the go command, which work without make.
# ARGS goes to the command: make test ARGS=--short

.DEFAULT_GOAL := help
.PHONY: help build demo up status down verify faults test vet lint generate bench example compose-up compose-down ci clean

help: ## this list
	@sed -n 's/^\([a-z-]*\): *## \(.*\)$$/make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

build: ## compile every package of the workspace, and the shop command
	go build work && ./scripts/shop help >/dev/null

demo: ## bring the shop up, play the scenarios, stay until Ctrl-C (ARGS=--exit ends then)
	./scripts/demo $(ARGS)

up: ## bring the shop up and leave it running
	./scripts/shop up --detach $(ARGS)

status: ## what runs, whether it is ready, and if not why
	./scripts/shop status $(ARGS)

down: ## stop the shop; its data stays
	./scripts/shop down $(ARGS)

verify: ## check the invariants of the shop that is up
	./scripts/shop verify $(ARGS)

faults: ## break a shop of its own in every known way (ARGS=--short: five minutes)
	./scripts/faults $(ARGS)

test: ## all tests, the end-to-end ones included (ARGS=--short leaves out the long ones)
	./scripts/test $(ARGS)

vet: ## go vet of every module
	go vet work

lint: ## shell syntax, formatting, and the analyzers of docs/linters.md
	./scripts/lint

generate: ## write the generated code (ARGS=--check: only name what is stale)
	./scripts/generate $(ARGS)

bench: ## measure what the patterns cost, against peers and limits (ARGS=--quick is a gate)
	./scripts/bench $(ARGS)

example: ## try an example of docs/examples in a copy (ARGS="fraud-check orchestrated")
	./scripts/example $(ARGS)

compose-up: ## the whole shop in containers
	docker compose -f deploy/compose.yaml up --detach --wait $(ARGS)

compose-down: ## remove the containers of every profile (ARGS: --volumes, --images, --all)
	./scripts/compose-down $(ARGS)

ci: ## everything that must hold on a clean clone
	CI=true bash .ci/run

clean: ## stop the shop, delete its data and everything built
	./scripts/clean
