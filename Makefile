# What a user needs: make run. What a developer needs: make test before a commit, make help for the rest.
export CGO_ENABLED = 0
SMOLLM2 = models/SmolLM2-135M-Instruct.Q4_1.gguf
GEMMA3 = models/gemma-3-270m-q4_k_m.gguf
PROMPT = Explain in two sentences why the sky is blue.
PYTHON ?= python3

.PHONY: help build run models synthetic test test-all test-arm64 vet cross gen guests check fuzz bench bench-peers docs clean

help:
	@echo "make run          build forge, fetch a small model, answer a prompt"
	@echo "make test         the tests that a commit must pass, real models included"
	@echo "make test-all     everything that can be tested here"
	@echo "make test-arm64   the NEON kernels under qemu, if it is installed"
	@echo "make models       fetch the test models into models/"
	@echo "make gen guests   make the generated files, rebuild the shipped guests"
	@echo "make check        format, vet, other platforms, generated files fresh"
	@echo "make fuzz         fuzz each target for a minute (FUZZTIME=1m)"
	@echo "make bench        benchmarks of kernels and plugins"
	@echo "make bench-peers  forge next to llama.cpp, interleaved (PEERS_FLAGS: see tools/bench_peers.py --help)"

build:
	go build -o bin/forge ./cmd/forge

run: build $(SMOLLM2)
	bin/forge run -m $(SMOLLM2) --plugins plugins.toml -p "$(PROMPT)" -n 128 --seed 1

models: $(SMOLLM2) $(GEMMA3)

$(SMOLLM2):
	$(PYTHON) tools/models.py models smollm2
$(GEMMA3):
	$(PYTHON) tools/models.py models gemma3

synthetic:
	go run ./tools/randmodel -large models

# The race detector needs cgo, so test-all alone runs it.
test: models vet
	go test -timeout 20m ./...

test-all: models check
	FORGE_TEST_ALL=1 go test -timeout 60m ./...
	FORGE_TEST_ALL=1 CGO_ENABLED=1 go test -race -short -timeout 60m ./host/... ./gguf/... ./abi/...
	FORGE_TEST_ALL=1 tools/test_arm64.sh

# Kernels for arm64 under emulation, and real models with them; skipped where qemu-aarch64 is missing.
test-arm64: models
	tools/test_arm64.sh

vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "not formatted: run gofmt -w on these"; exit 1; }
	go vet ./...

cross:
	GOOS=linux GOARCH=arm64 go build ./...
	GOOS=darwin GOARCH=arm64 go build ./...
	GOOS=windows GOARCH=amd64 go build ./...
	GOOS=wasip1 GOARCH=wasm go vet ./plugins/sdk/go/... ./examples/sampler-go

staticcheck:
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

gen:
	go generate ./...

guests:
	plugins/build.sh

docs:
	go run ./cmd/forge docs > docs/cli.md

check: vet cross staticcheck gen docs
	git diff --exit-code

FUZZTIME ?= 1m
fuzz:
	@set -e; for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz); do \
		echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; done; done

bench:
	go test -run '^$$' -bench . ./...

bench-peers: build models synthetic
	$(PYTHON) tools/bench_peers.py --models real,synthetic $(PEERS_FLAGS)

clean:
	rm -rf bin
