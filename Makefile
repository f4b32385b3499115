# Latchkey. `make up` runs everything on this machine; `make test` tests it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MODULES := $(shell go list -f '{{.Dir}}' -m 2>/dev/null)
FUZZTIME ?= 15s
BENCHTIME ?= 1s

.PHONY: up down test race verify rows fuzz bench sync migrate conformance images help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

bin: ## (re)build the programs that `make up` runs
	@mkdir -p bin
	@go build -o bin/ ./authserver/cmd/authserver ./resourceserver/cmd/resourceserver ./deploy/dev/cmd/up ./deploy/dev/cmd/smoke
.PHONY: bin

up: bin ## run everything in the foreground: database, stand-in for Google, both servers
	@exec ./bin/up -with-parent

down: ## stop a `make up` of this checkout
	@if [ -x bin/up ]; then exec ./bin/up -down; else echo 'nothing runs here'; fi

# -count=1: tests that build and run programs depend on more than Go's test
# cache can see.
test: ## all tests, against a PostgreSQL of their own
	go test -count=1 work

race: ## all tests under the race detector
	go test -count=1 -race work

verify: ## formatting, vet, import rules, each module on its own, drift of dependencies and generated files
	@unformatted="$$(gofmt -l $(MODULES))"; [ -z "$$unformatted" ] || { echo "run gofmt on: $$unformatted"; exit 1; }
	go vet work
	go vet -tags conformance ./resourceserver/internal/mcpserver
	go test -count=1 ./deploy/e2e/arch
	@for m in $(MODULES); do echo "GOWORK=off $$m"; ( cd "$$m" && GOWORK=off go build ./... && GOWORK=off go vet ./... && GOWORK=off go mod tidy -diff ); done
	@deploy/drift

# ROWS=-check compares the committed documents instead of writing them.
rows: ## protocol rows and advisories against their tests: writes authserver/docs/protocol.md and advisories.md
	@go run ./deploy/dev/cmd/rows $(ROWS)

fuzz: ## every fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) deploy/fuzz

bench: ## benchmarks
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem work

sync: ## bring the modules' dependencies together
	go work sync
	@for m in $(MODULES); do ( cd "$$m" && GOWORK=off go mod tidy ); done

migrate: bin ## apply pending migrations to DATABASE_URL
	./bin/authserver migrate up

conformance: bin ## clients that others wrote, against a `make up` of its own
	deploy/e2e/conformance/run

images: ## container images by buildah, from binaries built here
	deploy/images
