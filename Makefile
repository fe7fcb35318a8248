# Every target is one script in scripts/; each can also be called without make.
.DEFAULT_GOAL := help
.PHONY: help run test check fix docs bench benchstore chaos simulate fuzz

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: ## Start three local members and the proxy; Ctrl-C stops them, the data stays
	@scripts/run.sh

test: ## Install what the tests need, then run all of them
	@scripts/test.sh

check: ## Formatting and lints, as `make test` checks them; changes nothing
	@scripts/check.sh

fix: ## Repair formatting and the lints that clippy can repair
	@scripts/fix.sh

docs: ## Write the tables of docs/what-is-replicated-how.md anew, from the analysis itself
	@scripts/docs.sh

bench: ## Side by side with PostgreSQL, PgBouncer and pgpool-II (BENCH_SECONDS=60 BENCH_RUNS=3)
	@scripts/bench.sh

benchstore: ## The store client on one bare PostgreSQL and on three members behind raidb (BENCH_SECONDS=5 BENCH_RUNS=3)
	@scripts/bench_store.sh

chaos: ## Kill and freeze members and proxy under load, cycle by cycle (CHAOS_CYCLES=8 CHAOS_SEED=1)
	@scripts/chaos.sh

simulate: ## Seeds of the deterministic simulation, optimised (SEEDS=100000 SEED=1 PLANTED=none)
	@scripts/simulate.sh

fuzz: ## Each fuzz target under libFuzzer (SECONDS=60 FUZZ_TARGETS="wire sql config log")
	@FUZZ_SECONDS="$(SECONDS)" scripts/fuzz.sh
