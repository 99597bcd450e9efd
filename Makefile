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

# Folders of the files on the standard input.
dirs_of = xargs -n 1 dirname | sort -u

# Folders whose benchmarks are loads in real time, with a length of their own.
load_dirs = . ./record ./protocol/hls ./protocol/rtmp ./protocol/srt ./protocol/internal/rtcegress

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
test: vet ## vet, then unit and integration tests with the race detector
	@./.ci/tools
	$(GO) test $(race) -vet=off -timeout 15m ./...

.PHONY: e2e
e2e: ## end-to-end tests: the program against real clients (E2EDIRS: of these folders)
	@./.ci/tools
	@GO="$(GO)" RACE="$(race)" E2ETIMEOUT="$(E2ETIMEOUT)" ./.ci/e2e $(E2EDIRS)

# A package is built once for all of its targets: every package below it is
# compiled in another way than usual.
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 10s)
	@bin=$$(mktemp -d) && trap 'rm -rf "$$bin"' EXIT && cache="$$($(GO) env GOCACHE)/fuzz" && \
	for dir in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | $(dirs_of)); do \
		$(GO) test -c -vet=off -fuzz . -o "$$bin/fuzz.test" "$$dir" || exit 1; \
		for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go | sed 's/^func //' | sort); do \
			echo "$$name in $$dir"; \
			(cd "$$dir" && "$$bin/fuzz.test" -test.run '^$$' -test.fuzz "^$$name\$$" -test.fuzztime $(FUZZTIME) \
				-test.fuzzminimizetime 5x -test.fuzzcachedir "$$cache/$$($(GO) list .)") || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## micro-benchmarks, then load tests beside plain use of the same libraries
	$(GO) test -run '^$$' -bench . -benchmem $$(grep -rlE '^func Benchmark' --include='*_test.go' . | $(dirs_of) | \
		grep -vxE '$(subst $() ,|,$(strip $(load_dirs)))')
	$(GO) test -p 1 -run '^$$' -bench . -benchtime 1x ./protocol/hls
	$(GO) test -p 1 -run '^$$' -bench Record -benchtime 20x ./record
	$(GO) test -p 1 -run '^$$' -bench Length -benchtime 1x ./record
	$(GO) test -p 1 -run '^$$' -bench . -benchtime 10x .
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
	$(GO) vet -tags e2e ./...

.PHONY: fmt
fmt: ## format all Go code
	gofmt -w .

.PHONY: clean
clean: ## remove what was built
	rm -rf mediamtx mediamtx.exe $(DIST) .bin
