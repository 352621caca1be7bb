# Functions for the scripts in this folder, which source it first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
site=$target/site
npm_programs=end2end/node_modules/.bin
wasm_target=wasm32-unknown-unknown
step_number=0
step_count=0

say() { printf '%s\n' "$*"; }

fail() {
    printf '\nERROR: %s\n' "$*" >&2
    exit 1
}

# step <what> [how long it takes if nothing is built yet]
step() {
    step_number=$((step_number + 1))
    printf '\n[%s/%s] %s%s\n' "$step_number" "$step_count" "$1" "${2:+ (on a cold machine: $2)}"
}

# Prints one checksum of the contents and names of files and folders.
fingerprint() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum | cksum; }

is_root() { [ "$(id -u)" = 0 ]; }

# Installs Debian packages, if run as root with apt-get.
apt_install() {
    is_root && command -v apt-get >/dev/null || return 1
    say "Installing with apt-get: $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Prints the absolute form of a path.
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$PWD/$1" ;; esac }
