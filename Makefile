# Each target is a script in .ci, which says what it does.
.PHONY: run build test bench watch chaos fuzz mutants dist

# Builds what has changed, then serves on http://127.0.0.1:8000.
run:
	@.ci/build
	@.ci/serve

# Builds the page and the release program that carries it: target/release/vestibule.
build:
	@.ci/build

# Formatting, lints, documentation, every test, the size budget, the browser.
test:
	@.ci/test

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
