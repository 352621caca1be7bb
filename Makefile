# Each target is a script in .ci, which says what it does.
.PHONY: run build test check rust e2e audit bench watch chaos fuzz mutants dist

# Builds what has changed, then serves on http://127.0.0.1:8000.
run:
	@.ci/build
	@.ci/serve

# Builds the page and the release program that carries it: target/release/vestibule.
build:
	@.ci/build

# Every check and every test: the four parts below, with one summary.
test:
	@.ci/test

# Formatting, lints, documentation, types of the browser tests.
check:
	@.ci/test check

# Unit, store and router tests.
rust:
	@.ci/test rust

# The page's size, the API against its document, the browser, README's blocks.
e2e:
	@.ci/test e2e

# Licences, sources and known faults of the dependencies.
audit:
	@.ci/test audit

# How good it is, in figures: against a bare handler, bare argon2, and itself with a million accounts.
bench:
	@.ci/bench

# Rebuilds and reloads after every change. Needs cargo-leptos.
watch:
	@.ci/watch

# Its worst day: killed, attacked, and played against its model, for half an hour.
chaos:
	@.ci/chaos

# Looks for input that breaks a parser: a minute for each.
fuzz:
	@.ci/fuzz

# Whether the tests notice a change of the words, the rules and the store. Takes hours; .ci/mutants tells how to do a part.
mutants:
	@.ci/mutants

# The archive to deploy: the program, its configuration, a unit for systemd, and a bill of materials.
dist:
	@.ci/dist
