# Builds the page into target/site.

# Paths of this machine have no place in what is sent to every visitor.
page_flags() {
    local folder
    printf '%s' "--remap-path-prefix=$PWD=."
    printf '\x1f%s' "--remap-path-prefix=$(absolute "$target")=target"
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        printf '\x1f%s' "--remap-path-prefix=$folder=crates"
    done
}

compile_page() {
    cargo fetch --locked
    CARGO_ENCODED_RUSTFLAGS=$(page_flags) cargo build --locked --lib --profile wasm-release \
        --target "$wasm_target" --no-default-features --features hydrate
}

# Binds, shrinks and bundles, unless neither what goes in nor what came out has changed since the last time.
assemble_page() {
    local wasm=$target/$wasm_target/wasm-release/vestibule.wasm stamp=$target/site.stamp inputs
    inputs=$(fingerprint "$wasm" style public end2end/package-lock.json .ci/page.sh)
    if [ -d "$site" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$inputs $(fingerprint "$site")" ]; then
        say "Nothing has changed."
        return
    fi
    rm -rf "$site" "$target/bound"
    mkdir -p "$site/pkg"
    "$wasm_bindgen" --target web --no-typescript --out-dir "$target/bound" --out-name vestibule "$wasm"
    # Flattened first, the code is laid out anew, which is a little smaller.
    "$npm_programs/wasm-opt" --flatten --rereloop -Oz -Oz --converge --enable-bulk-memory \
        --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals --enable-reference-types \
        --enable-multivalue --strip-producers \
        -o "$site/pkg/vestibule.wasm" "$target/bound/vestibule_bg.wasm"
    # TypeScript's compiler takes the comments out.
    "$npm_programs/tsc" --allowJs --checkJs false --removeComments --target es2022 --module esnext \
        --moduleResolution bundler --skipLibCheck --outDir "$site/pkg" "$target/bound/vestibule.js"
    [ ! -d "$target/bound/snippets" ] || fail "The page has script snippets, which this build doesn't know how to name."
    "$npm_programs/lightningcss" --bundle --minify --output-file "$site/pkg/vestibule.css" style/main.css
    cp -R public/. "$site/"
    say "$inputs $(fingerprint "$site")" >"$stamp"
}
