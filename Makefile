# Each target runs scripts in .ci, which describe what they do.
.PHONY: run build test check rust e2e audit bench watch chaos fuzz mutants dist

# Builds what has changed, then starts the server on http://127.0.0.1:8000.
run:
	@.ci/build
	@.ci/serve

# Builds the page and the release program that embeds it: target/release/vestibule.
build:
	@.ci/build

# Runs all checks and tests: the four parts below, with one summary.
test:
	@.ci/test

# Checks formatting, lints, documentation and the types of the browser tests.
check:
	@.ci/test check

# Runs the unit, store and router tests.
rust:
	@.ci/test rust

# Checks the page's size and the API's document, and runs the browser tests and README's code blocks.
e2e:
	@.ci/test e2e

# Checks licences, sources and advisories of the dependencies.
audit:
	@.ci/test audit

# Benchmarks: compares with a bare handler, with argon2 alone, and a small database with a million accounts.
bench:
	@.ci/bench

# Rebuilds and reloads after every change. Needs cargo-leptos.
watch:
	@.ci/watch

# Chaos tests: kills and attacks the program, and compares it with its model. Takes half an hour.
chaos:
	@.ci/chaos

# Fuzzes the parsers, one minute each.
fuzz:
	@.ci/fuzz

# Mutation tests of the domain types, the service and the store. Takes hours; .ci/mutants describes how to run a part.
mutants:
	@.ci/mutants

# Builds the archive to deploy: the program, its configuration, a systemd unit, and a bill of materials.
dist:
	@.ci/dist
