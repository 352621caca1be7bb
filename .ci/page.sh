# Builds the page into target/site.

# Compiler flags that remove paths of this machine from the files that visitors download.
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
    # wasm-split needs the relocations to find dependencies between functions.
    CARGO_ENCODED_RUSTFLAGS=$(page_flags) cargo rustc --locked --lib --crate-type cdylib --profile wasm-release \
        --target "$wasm_target" --no-default-features --features split -- -Clink-arg=--emit-relocs
}

# After flattening, wasm-opt can restructure the code, which makes it slightly smaller.
shrink() {
    "$npm_programs/wasm-opt" --flatten --rereloop -Oz -Oz --converge --enable-bulk-memory \
        --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals --enable-reference-types \
        --enable-multivalue --strip-debug --strip-producers -o "$2" "$1"
}

# Splits, binds, shrinks and bundles the page. Skips this if neither inputs nor outputs have changed since the last
# build.
assemble_page() {
    local wasm=$target/$wasm_target/wasm-release/vestibule.wasm stamp=$target/site.stamp bound=$target/bound inputs part
    inputs=$(fingerprint "$wasm" style public end2end/package-lock.json .ci/page.sh .ci/trim.mjs)
    if [ -d "$site" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$inputs $(fingerprint "$site")" ]; then
        say "Nothing has changed."
        return
    fi
    rm -rf "$site" "$bound"
    mkdir -p "$site/pkg" "$bound"
    node .ci/trim.mjs streams "$wasm" "$bound/trimmed.wasm"
    # Separates the code that a first visit doesn't need.
    "$wasm_split" "$bound/trimmed.wasm" "$bound" --out-name vestibule
    # The parts are linked at run time through the linker's exports.
    "$wasm_bindgen" --target web --no-typescript --keep-lld-exports --out-dir "$bound" --out-name vestibule \
        "$bound/vestibule.wasm"
    node .ci/trim.mjs names "$bound/vestibule_bg.wasm" "$bound/vestibule.js" "$bound/__wasm_split.js"
    shrink "$bound/vestibule_bg.wasm" "$site/pkg/vestibule.wasm"
    for part in "$bound"/split_*.wasm "$bound"/chunk_*.wasm; do
        [ ! -e "$part" ] || shrink "$part" "$site/pkg/${part##*/}"
    done
    # wasm-bindgen imports the loader of the parts once for each part, always as the same module.
    "$npm_programs/esbuild" --minify --format=esm --target=es2022 --log-level=warning \
        --log-override:duplicate-object-key=silent --outdir="$site/pkg" "$bound/vestibule.js" "$bound/__wasm_split.js"
    [ ! -d "$bound/snippets" ] || fail "The page has script snippets, which this build doesn't support."
    "$npm_programs/lightningcss" --bundle --minify --output-file "$site/pkg/vestibule.css" style/main.css
    cp -R public/. "$site/"
    say "$inputs $(fingerprint "$site")" >"$stamp"
}
