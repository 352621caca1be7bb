# Shared by the scripts beside it; they source it first.
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

# step <what> [how long it takes where nothing is built yet]
step() {
    step_number=$((step_number + 1))
    printf '\n[%s/%s] %s%s\n' "$step_number" "$step_count" "$1" "${2:+ (on a cold machine: $2)}"
}

# One checksum over the contents and names of files and folders.
fingerprint() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum | cksum; }

is_root() { [ "$(id -u)" = 0 ]; }

# Installs a Debian package, where that is possible.
apt_install() {
    is_root && command -v apt-get >/dev/null || return 1
    say "Installing with apt-get: $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# A path as it is from every folder.
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$PWD/$1" ;; esac }
