# The tasks of this project; `make` alone lists them. CI runs .ci/run and nothing else.

.DEFAULT_GOAL := help

# Not a `tool` line in go.mod: that would add some hundred modules to the program's own.
LINTER := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# How long each fuzz target runs.
FUZZTIME ?= 30s

# How long the soak takes.
SOAK ?= 30m

.PHONY: help build test race lint fmt cover fuzz bench soak demo ci

help: ## list these tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the static binary, bin/worker
	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o bin/worker ./cmd/worker

test: ## all tests
	go test ./...

race: ## all tests under the race detector (needs a C compiler)
	go test -race -short ./...

lint: ## what .golangci.yml asks for
	$(LINTER) run

fmt: ## format all code
	$(LINTER) fmt

cover: ## how much the tests run, by function, in coverage.out
	go test -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -n 1

fuzz: ## every fuzz target for FUZZTIME (30s)
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

bench: ## all benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

soak: ## the whole path for SOAK (30m) with everything failing now and then
	go test ./cmd/worker -run '^TestSoak$$' -count=1 -v -timeout 2h -soak $(SOAK)

demo: ## everything in one process, with samples
	go run ./cmd/worker demo

ci: ## all that must hold before a change lands
	.ci/run
