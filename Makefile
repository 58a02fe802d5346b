# Needs Go, git and make; everything else is pinned and fetched as a Go tool.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
BENCH    ?= .
TIMEOUT  := 20m

# What `make test` measures: a small set, to notice gross regressions only. The
# ratios of a small set are worse than those of a large one.
QUICKBENCH := -scale 0.1 -runs 3 -floor 0.5 -only '(AES-256|tables), a$$|5 incrementals|verify'

# Where tests tell what this platform cannot run.
LEFT_OUT := $(CURDIR)/.cache/left-out

# Compilers and linters end before collecting much pays: a quarter less CPU.
TOOLS := GOGC=400

LINT := $(TOOLS) go tool -modfile=.ci/lint/go.mod golangci-lint

# The race detector needs cgo and a C compiler.
CC_FOUND := $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v $$(go env CC) 2>/dev/null)
RACE     := $(if $(CC_FOUND),-race)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '%-10s %s\n' "$$target" "$$text"; \
	done

.PHONY: build
build: ## build the static binary bin/brock
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/brock ./cmd/brock

.PHONY: generate
generate: ## regenerate the GraphQL code from the schemas
	go tool gqlgen generate --config gqlgen.yml
	go tool gqlgen generate --config graph/data.gqlgen.yml
	go tool genqlient graph/client/adminclient/genqlient.yaml

.PHONY: lint
lint: ## run the linters, import directions included
	$(LINT) run ./... ./.ci/slowest ./.ci/release

.PHONY: servers
servers: ## install the servers that the tests need into a cache (minutes, once)
	go run ./systest/servers/install

.PHONY: test
test: race-check servers ## vet, lint, generated code, unit and system tests
	$(TOOLS) go vet ./... ./.ci/slowest ./.ci/release
	$(MAKE) --no-print-directory lint
	.ci/generated
	@# What waits most begins first.
	mkdir -p $(dir $(LEFT_OUT)) && rm -f $(LEFT_OUT)
	BROCK_LEFT_OUT=$(LEFT_OUT) $(TOOLS) go run ./.ci/slowest -exec 'env -u GOGC' $(RACE) -vet=off -timeout $(TIMEOUT) ./systest/nfs ./systest/stores ./.ci/release ./... ./.ci/slowest
	go run ./systest/bench $(QUICKBENCH)
	@.ci/left-out $(LEFT_OUT)

# Without a race detector a developer may go on, CI may not.
.PHONY: race-check
race-check:
ifeq ($(RACE),)
	@echo '!!! NO C COMPILER ($(shell go env CC)): THE TESTS RUN WITHOUT THE RACE DETECTOR !!!' >&2
	@if [ "$${CI:-}" = true ]; then echo 'cannot run the tests in CI: the race detector needs a C compiler' >&2; exit 1; fi
endif

.PHONY: release
release: ## build what is published, for all platforms, into dist/: archives, bills of materials, digests
	go run ./.ci/release -version '$(VERSION)' -time "$$(git log -1 --format=%ct)" -out dist

.PHONY: man
man: build ## write the manual pages into bin/man
	bin/brock man bin/man

.PHONY: bench
bench: ## print the table of brock beside its peers, at full size (BENCHFLAGS='-scale 0.1 -runs 3')
	go run ./systest/bench $(BENCHFLAGS)

.PHONY: microbench
microbench: ## run the benchmarks of the stages (BENCH=regexp)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout $(TIMEOUT) ./...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10s)
	.ci/fuzz $(FUZZTIME)

.PHONY: demo
demo: ## load, back up, change, back up again, restore both points, compare
	go run ./systest/demo
