# Millstream: the commands a developer needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help install demo test test-services interop lint bench bench-write bench-sinks torture chaos fuzz audit

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## install what is missing (PostgreSQL server, build tools, Rust), nothing twice
	@scripts/install

demo: install ## build, load, rename, kill -9, restart, verify: the whole product in a few minutes
	@scripts/demo

.PHONY: demo-services
demo-services: install ## the demo with Kafka and OpenSearch, each away for three minutes, and kill -9 meanwhile
	@scripts/demo-services

test: install ## run every test; the last line is the count
	@scripts/test

test-services: install ## run only the tests on real Kafka brokers and a real OpenSearch node
	@scripts/test-services

interop: install ## follow a real Debezium connector in a real Kafka Connect worker
	@scripts/interop

.PHONY: docs
docs: install ## build the book into target/book and check its links
	@scripts/docs

lint: install ## rustfmt, clippy, docs, crate edges, unused dependencies, tidiness: warnings are errors
	@scripts/lint

bench: install ## measure throughput, lag and memory beside their limits, from one run
	@scripts/bench

bench-write: install ## measure writes with and without batching, beside COPY of the same rows
	@scripts/bench-write

bench-sinks: install ## measure every sink beside its limit, and how soon each shows what was written
	@scripts/bench-sinks

torture: install ## kill the process, the backends and the cluster again and again, then verify
	@scripts/torture

chaos: install ## restored and hanging databases, full disks, forgotten locks, failing services: 200 trials (scripts/chaos --only KIND)
	@scripts/chaos

fuzz: install ## feed hostile bytes to every reader for a minute in total; SECONDS=60: for each (guided by coverage)
	@scripts/fuzz $(if $(SECONDS),--seconds $(SECONDS))

audit: install ## licences, bans and sources of every dependency (builds cargo-deny once)
	@scripts/audit
