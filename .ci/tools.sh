# External programs for the builds and the tests. Each function installs a missing program, or prints how to install it.

# Programs that must be installed by the owner of the machine.
need_programs() {
    command -v cargo >/dev/null || fail "cargo is missing. Install Rust 1.95 or newer: https://rustup.rs"
    command -v node >/dev/null || fail "node is missing. Install Node.js 20 or newer."
    command -v npm >/dev/null || fail "npm is missing. Install npm; it is part of Node.js, but a separate package on Debian."
    local major
    major=$(node -p 'process.versions.node.split(".")[0]')
    [ "$major" -ge 20 ] || fail "Node.js $major is too old. Install version 20 or newer."
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        apt_install build-essential ||
        fail "A C compiler is missing; SQLite is compiled from C. Install gcc or clang (Debian: build-essential)."
}

need_wasm_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$wasm_target" ] && return
    command -v rustup >/dev/null ||
        fail "Rust's $wasm_target target is missing, and so is rustup, which installs it: https://rustup.rs"
    rustup target add "$wasm_target" || fail "rustup could not add $wasm_target. Check the network and try again."
}

# wasm-opt, esbuild, lightningcss and Playwright, in the versions of the lock file.
need_npm_packages() {
    local stamp=end2end/node_modules/.vestibule-stamp wanted
    wanted=$(cksum <end2end/package-lock.json)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        npm ci --prefix end2end --no-audit --no-fund --loglevel=error ||
            fail "npm could not install the packages in end2end/. Check the network and try again."
        say "$wanted" >"$stamp"
    fi
    # npm may be configured not to run install scripts. The script of lightningcss-cli only copies a program.
    [ -x "$npm_programs/lightningcss" ] || (cd end2end/node_modules/lightningcss-cli && node postinstall.js)
}

# install_program <arguments of cargo install>: compiles without optimisation. Optimising these programs takes minutes,
# but a build runs them only for seconds.
install_program() {
    env -u CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_PROFILE_RELEASE_DEBUG=0 cargo install "$@"
}

# The version of a crate in Cargo.lock.
locked_version() {
    awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/[^0-9.]/, ""); print; exit }' Cargo.lock
}

is_wasm_bindgen() { [ "$("$1" --version 2>/dev/null)" = "wasm-bindgen $2" ]; }

# Sets wasm_bindgen to a program of exactly the version in Cargo.lock.
need_wasm_bindgen() {
    local version cache
    version=$(locked_version wasm-bindgen)
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/wasm-bindgen-$version
    wasm_bindgen=wasm-bindgen
    is_wasm_bindgen "$wasm_bindgen" "$version" && return
    wasm_bindgen=$cache/bin/wasm-bindgen
    is_wasm_bindgen "$wasm_bindgen" "$version" && return
    say "Compiling wasm-bindgen $version. It is cached for the next time."
    # --locked is not used, because the release's lock file names versions that are no longer available.
    install_program wasm-bindgen-cli --version "$version" --root "$cache" ||
        fail "wasm-bindgen $version could not be installed. Check the network and try again."
}

# The store's tests start a separate PostgreSQL server.
need_postgres() {
    local folder
    for folder in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return
    done
    command -v initdb >/dev/null && command -v postgres >/dev/null && return
    apt_install postgresql ||
        say "PostgreSQL's server is missing, and its tests will fail. Install it (Debian: apt-get install postgresql)."
}

need_pgbouncer() {
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || apt_install pgbouncer ||
        say "PgBouncer is missing, and its tests will fail. Install it (Debian: apt-get install pgbouncer)."
}

# One test runs README's nginx configuration.
need_nginx() {
    local program
    for program in /usr/sbin/nginx /usr/bin/nginx; do
        [ -x "$program" ] && return
    done
    apt_install nginx-light ||
        say "nginx is missing, and its test will fail. Install it (Debian: apt-get install nginx-light)."
}

# Sets and exports CHROMIUM to a browser's path.
need_chromium() {
    local find=end2end/support/chromium.mjs
    CHROMIUM=$(node "$find") || {
        apt_install chromium || (cd end2end && npx playwright install chromium) || true
        CHROMIUM=$(node "$find") || {
            say "No Chromium was found, and the browser tests will fail. Install one, or set CHROMIUM to its path."
            CHROMIUM=
        }
    }
    export CHROMIUM
}

# The chaos tests change the program's clock with libfaketime.
need_faketime() {
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || apt_install faketime ||
        say "libfaketime is missing, and the test of the clock will fail. Install it (Debian: apt-get install faketime)."
}

# wrk generates the benchmark's loads.
need_wrk() {
    command -v wrk >/dev/null || apt_install wrk || fail "wrk is missing. Install it (Debian: apt-get install wrk)."
}

# Sets cargo_fuzz to the path of cargo-fuzz, and selects the nightly compiler that it requires.
need_cargo_fuzz() {
    cargo_fuzz=$(need_cargo_program cargo-fuzz 0.13.2)
    export RUSTUP_TOOLCHAIN=nightly
    case $(rustc --version 2>/dev/null) in
    *nightly*) ;;
    *) rustup toolchain install nightly --profile minimal ||
        fail "A nightly Rust is missing. Install it: rustup toolchain install nightly" ;;
    esac
}

# need_cargo_program <crate> <version> [<program> <options of cargo install…>]: prints the path of a program from
# crates.io. Compiles it once.
need_cargo_program() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/$1-$2 program=${3:-$1}
    if [ ! -x "$cache/bin/$program" ]; then
        say "Compiling $1 $2. It is cached for the next time." >&2
        install_program "$1" --version "$2" --locked --root "$cache" "${@:4}" >&2 ||
            fail "$1 $2 could not be installed. Check the network and try again."
    fi
    printf '%s' "$cache/bin/$program"
}

# Sets and exports SCHEMATHESIS to the path of schemathesis, installed from PyPI in a virtual environment.
need_schemathesis() {
    local version=4.32.5 cache
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/schemathesis-$version
    export SCHEMATHESIS=$cache/bin/schemathesis
    [ -e "$cache/complete" ] && return
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv ||
        fail "Python 3.10 or newer with venv is missing. Install it (Debian: apt-get install python3-venv)."
    say "Installing schemathesis $version. It is cached for the next time."
    rm -rf "$cache"
    { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; } ||
        fail "schemathesis $version could not be installed. Check the network and try again."
    touch "$cache/complete"
}

# Sets wasm_split to the path of wasm-split, which splits the page.
need_wasm_split() {
    wasm_split=$(need_cargo_program wasm_split_cli_support "$(locked_version wasm_split_helpers)" wasm-split-cli \
        --features build-binary)
}

# Sets cargo_deny to the path of cargo-deny.
need_cargo_deny() { cargo_deny=$(need_cargo_program cargo-deny 0.20.2); }

# Sets and exports README_PYTHON and README_OLD_PYTHON to Pythons with the packages of README's examples. Installs the
# programs for its other code blocks. Streamlit 1.45 is the oldest version with `st.context.ip_address`.
need_readme_programs() {
    local program missing=
    for program in jq nginx caddy ip systemd-analyze pkill fail2ban-regex openssl update-ca-certificates unshare setpriv; do
        command -v "$program" >/dev/null || missing+=" $program"
    done
    [ -z "$missing" ] ||
        apt_install jq nginx-light caddy iproute2 systemd procps fail2ban openssl ca-certificates util-linux ||
        say "These programs are missing, and README's blocks that need them will fail:$missing. Install them."
    README_PYTHON=$(need_streamlit 1.67.0)
    README_OLD_PYTHON=$(need_streamlit 1.45.1)
    export README_PYTHON README_OLD_PYTHON
}

# Prints the path of a Python with the given version of Streamlit.
need_streamlit() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/streamlit-$1
    printf '%s' "$cache/bin/python"
    [ ! -e "$cache/complete" ] || return 0
    {
        python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv ||
            fail "Python 3.10 or newer with venv is missing. Install it (Debian: apt-get install python3-venv)."
        say "Installing Streamlit $1. It is cached for the next time."
        rm -rf "$cache"
        { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet --disable-pip-version-check "streamlit==$1" requests; } ||
            fail "Streamlit $1 could not be installed. Check the network and try again."
        touch "$cache/complete"
    } >&2
}
