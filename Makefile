# Everything that a developer or a CI server does with this repository.
# "make help" lists the targets. Go is all that is needed; other programs are
# installed if they can be, and what cannot run without them says so.

GO         ?= go
FUZZTIME   ?= 10s
BENCHFLAGS ?=
E2ETIMEOUT ?= 20m
DIST       ?= dist

LINT_VERSION := v2.15.0
LINT         := .bin/$(LINT_VERSION)/golangci-lint

# GOOS/GOARCH of the released programs; armv6 and armv7 are GOARCH=arm with GOARM.
PLATFORMS := linux/amd64 linux/arm64 linux/armv6 linux/armv7 \
             darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# The race detector needs a C compiler, which a machine may not have.
race = $$(if command -v "$$($(GO) env CC)" >/dev/null; then echo -race; \
	else echo 'no C compiler: the race detector is left out' >&2; fi)

# Folders with end-to-end tests (build tag "e2e"), and those tests by name.
e2e_files = $$(grep -rlE '^//go:build .*\be2e\b' --include='*_test.go' .)
dirs_of   = xargs -n 1 dirname | sort -u

# Folders whose benchmarks are loads in real time, with a length of their own.
load_dirs = ./protocol/hls ./protocol/rtmp ./protocol/srt ./protocol/internal/rtcegress

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: build
build: ## build the program mediamtx
	CGO_ENABLED=0 $(GO) build -trimpath -o mediamtx$(shell $(GO) env GOEXE) ./cmd/mediamtx

.PHONY: cross
cross: $(addprefix $(DIST)/,$(PLATFORMS)) ## build for all platforms, into dist

.PHONY: $(addprefix $(DIST)/,$(PLATFORMS))
$(addprefix $(DIST)/,$(PLATFORMS)): $(DIST)/%:
	CGO_ENABLED=0 GOOS=$(*D) GOARCH=$(patsubst armv%,arm,$(*F)) GOARM=$(patsubst armv%,%,$(filter armv%,$(*F))) \
		$(GO) build -trimpath -o $(DIST)/mediamtx_$(*D)_$(*F)$(if $(filter windows,$(*D)),.exe) ./cmd/mediamtx

.PHONY: test
test: ## vet, then unit and integration tests with the race detector
	@./.ci/tools
	$(GO) vet ./...
	$(GO) test $(race) -timeout 15m ./...

# The race detector finds a race of gortsplib when many UDP readers are set up at
# once, which is what the matrix of the program does.
.PHONY: e2e
e2e: ## end-to-end tests: the program against real clients
	@./.ci/tools
	@files="$(e2e_files)"; \
	if [ -z "$$files" ]; then echo 'no end-to-end tests were found' >&2; exit 1; fi; \
	names=$$(grep -hoE '^func Test[A-Za-z0-9_]+' $$files | sed 's/^func //' | grep -v '^TestMain$$' | paste -sd '|' -); \
	for dir in $$(echo $$files | tr ' ' '\n' | $(dirs_of)); do \
		race="$(race)"; [ "$$dir" = ./cmd/mediamtx/app ] && race=; \
		run="$(GO) test $$race -tags e2e -count=1 -timeout $(E2ETIMEOUT) -run ^($$names)$$ $$dir"; \
		echo "end-to-end tests in $$dir"; \
		$$run || { echo "once more, in case the clients were too slow: $$dir"; $$run; } || exit 1; \
	done

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 10s)
	@grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort | while IFS=: read -r file func; do \
		name=$${func#func }; dir=$${file%/*}; \
		echo "$$name in $$dir"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$dir" || exit 1; \
	done

.PHONY: bench
bench: ## micro-benchmarks, then load tests beside plain use of the same libraries
	$(GO) test -run '^$$' -bench . -benchmem $$(grep -rlE '^func Benchmark' --include='*_test.go' . | $(dirs_of) | \
		grep -vxE '$(subst $() ,|,$(strip $(load_dirs)))')
	$(GO) test -p 1 -run '^$$' -bench . -benchtime 1x ./protocol/hls
	$(GO) test -p 1 -run '^$$' -bench . -benchtime 300x ./protocol/rtmp ./protocol/srt ./protocol/internal/rtcegress
	$(GO) run ./cmd/mediamtx/bench $(BENCHFLAGS)

.PHONY: lint
lint: $(LINT) ## golangci-lint, with the configuration in .golangci.yml
	$(LINT) run ./...

# The first build takes some minutes; the program stays in .bin.
$(LINT):
	GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

.PHONY: vet
vet: ## go vet, end-to-end tests included
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...

.PHONY: fmt
fmt: ## format all Go code
	gofmt -w .

.PHONY: clean
clean: ## remove what was built
	rm -rf mediamtx mediamtx.exe $(DIST) .bin
