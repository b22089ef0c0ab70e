# The front door; `make help` lists it. CMake does the work (CMakePresets.json), scripts/setup.sh
# installs what is missing. Variables are taken from the command line only, never from the
# environment: shells export HOST, and platforms PORT, with other meanings.
MODEL :=
HOST := 127.0.0.1
PORT := 8000
ARGS :=
JOBS := $(shell nproc 2>/dev/null || echo 2)
SECONDS_EACH := 60

MAKEFLAGS += --no-print-directory
# Downloads of crates survive a flaky network.
export CARGO_NET_RETRY := 10

build_preset = scripts/configure.sh $(1) && cmake --build build/$(1) --parallel $(JOBS) --target $(2)
run_tests = ctest --test-dir build/$(1) --parallel $(JOBS) --output-on-failure

.DEFAULT_GOAL := help
.PHONY: help serve report test test-invariance soak test-clients test-lm-eval test-other-engine \
        test-load test-arm build dev tsan bench fuzz format check tidy clean setup

help:
	@echo 'make serve   build the release and serve the OpenAI API on $(HOST):$(PORT)'
	@echo '             MODEL=dir (default: the built-in bitcpm-tiny)  PORT=n  HOST=address  ARGS="..."'
	@echo 'make test    build everything and run all tests'
	@echo 'make test-clients  the OpenAI clients that people use, and the chat page, against the server'
	@echo 'make test-load  200 streams for a minute, overload, shutdown, idle connections, the cost of HTTP'
	@echo 'make build   build/release/bin/bitcpm only'
	@echo 'make dev     build and test under the address and undefined-behaviour sanitizers'
	@echo 'make tsan    build and test under the thread sanitizer'
	@echo 'make bench   single kernels on every CPU level, ARGS="--benchmark_filter=..."'
	@echo 'make fuzz    fuzz every reader of untrusted files, SECONDS_EACH=$(SECONDS_EACH)'
	@echo 'make test-lm-eval  lm-eval against the server; its log-likelihoods equal those of eval ppl'
	@echo 'make test-other-engine  bench serve against llama.cpp, which serves the same model'
	@echo 'make report  speed and accuracy into build/report and both READMEs, ARGS="--text FILE"'
	@echo 'make test-arm  the tests of the CPU levels on emulated 64-bit Arm'
	@echo 'make test-invariance  the whole matrix of what an answer must not depend on; minutes'
	@echo 'make soak    two hundred requests at a time for SECONDS_EACH=$(SECONDS_EACH)'
	@echo 'make check   format, include direction and kernel symbols, as CI does after the tests'
	@echo 'make tidy    clang-tidy (minutes; not part of check)'
	@echo 'make format  clang-format everything in place'
	@echo 'make clean   remove build/'

setup:
	@scripts/setup.sh build

build: setup
	@$(call build_preset,release,bin/bitcpm)

serve: build
	@build/release/bin/bitcpm serve $(if $(MODEL),--model '$(MODEL)') --host '$(HOST)' --port '$(PORT)' $(ARGS)

test: setup
	@scripts/setup.sh test
	@$(call build_preset,release,all)
	@$(call run_tests,release)

test-clients:
	@scripts/setup.sh build clients
	@$(call build_preset,release,bin/bitcpm)
	@tests/clients/install.sh
	@tests/clients/run.py $(ARGS)

test-load: build
	@tests/load/load_test.py $(ARGS)
	@tests/load/throughput.py

test-lm-eval:
	@scripts/setup.sh build clients
	@$(call build_preset,release,bin/bitcpm)
	@tests/lm_eval/install.sh
	@tests/lm_eval/run.py

# 77 is a test that says why it cannot run here.
test-other-engine: build
	@tests/other_engine/run.py || [ $$? = 77 ]

report: build
	@build/release/bin/bitcpm report --like reference --output build/report $(ARGS) >/dev/null
	@scripts/update_readme.py build/release/bin/bitcpm build/report/report.json
	@echo 'build/report/report.html, report.md and report.json'

dev tsan: setup
	@$(call build_preset,$@,all)
	@$(call run_tests,$@)

test-arm:
	@scripts/setup.sh arm
	@scripts/test_arm.sh $(JOBS)

test-invariance: setup
	@$(call build_preset,release,bin/invariance_test)
	@BITCPM_INVARIANCE=full build/release/bin/invariance_test

soak: setup
	@$(call build_preset,release,bin/soak_test)
	@BITCPM_SOAK_SECONDS=$(SECONDS_EACH) build/release/bin/soak_test

bench:
	@scripts/setup.sh build bench
	@$(call build_preset,bench,bin/kernels_bench)
	@build/bench/bin/kernels_bench $(ARGS)

fuzz:
	@scripts/setup.sh build fuzz
	@scripts/fuzz.sh $(SECONDS_EACH)

format:
	@scripts/setup.sh format
	@scripts/check_format.sh --fix

check:
	@scripts/setup.sh build format
	@$(call build_preset,release,all)
	@scripts/check_format.sh
	@scripts/check_layers.py
	@scripts/check_symbols.sh build/release

tidy:
	@scripts/setup.sh build tidy
	@$(call build_preset,release,all)
	@scripts/tidy.sh build/release $(JOBS)

clean:
	@rm -rf build
