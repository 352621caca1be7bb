//! The build script: embeds the built page into the program.
//!
//! `VESTIBULE_SITE` names the folder of a built page (`make` sets it). Each of its files is hashed and compressed
//! once, and listed in a table that `server::assets` includes. Without the variable the table is empty, and the
//! program serves the page from disk, as `cargo leptos watch` requires.

use std::{
    env,
    error::Error,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The environment variable with the folder of the built page.
const SITE: &str = "VESTIBULE_SITE";
/// The page's main files: the constant in the generated code, and the path in the site.
const MAIN_FILES: [(&str, &str); 3] =
    [("STYLE", "pkg/vestibule.css"), ("SCRIPT", "pkg/vestibule.js"), ("WASM", "pkg/vestibule.wasm")];
/// The part of the page with the secondary views. The names of its files contain it.
const SECONDARY: &str = "secondary";
/// The folder with the files that change together.
const PACKAGE: &str = "pkg/";
/// Hexadecimal digits of a content hash in a path: 64 bits.
const HASH_DIGITS: usize = 16;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed={SITE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; cargo sets it")?);
    let is_server = env::var_os("CARGO_FEATURE_SSR").is_some();
    let site = env::var_os(SITE).filter(|site| is_server && !site.is_empty()).map(PathBuf::from);
    let files = match &site {
        Some(site) => embed(site, &out)?,
        None => Vec::new(),
    };
    fs::write(out.join("site.rs"), table(&files)?)?;
    Ok(())
}

/// One file of the page.
struct Embedded {
    /// The path in the site, with `/` as the separator.
    source: String,
    content_type: &'static str,
    /// The hash of the content. It is also the name of its copies in the output folder.
    hash: String,
    has_brotli: bool,
    has_gzip: bool,
}

fn embed(site: &Path, out: &Path) -> Outcome<Vec<Embedded>> {
    println!("cargo::rerun-if-changed={}", site.display());
    let cache = out.join("site");
    fs::create_dir_all(&cache)?;
    let mut sources = Vec::new();
    collect(site, "", &mut sources)
        .map_err(|cause| format!("{SITE}={}: {cause}. Build the page first: make build", site.display()))?;
    sources.sort();
    for (_, needed) in MAIN_FILES {
        if !sources.iter().any(|source| source == needed) {
            return Err(format!("{SITE}={} has no {needed}. Build the page first: make build", site.display()).into());
        }
    }
    let files: Vec<Embedded> =
        sources.into_iter().map(|source| embed_file(site, source, &cache)).collect::<Outcome<_>>()?;
    remove_stale(&cache, &files)?;
    Ok(files)
}

/// Lists the files below a folder, except hidden files and source maps.
fn collect(folder: &Path, prefix: &str, sources: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        let is_map = path.extension() == Some(OsStr::new("map"));
        if name.starts_with('.') || is_map {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), sources)?;
        } else {
            sources.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

fn embed_file(site: &Path, source: String, cache: &Path) -> Outcome<Embedded> {
    let bytes = fs::read(site.join(&source))?;
    let content_type = content_type(&source)
        .ok_or_else(|| format!("{source}: no content type is known for this kind of file; add it to src/build.rs"))?;
    let hash = hex(&Sha256::digest(&bytes));
    store(&cache.join(&hash), || Ok(bytes.clone()))?;
    let has_brotli = smaller(&cache.join(format!("{hash}.br")), &bytes, brotli)?;
    let has_gzip = smaller(&cache.join(format!("{hash}.gz")), &bytes, gzip)?;
    Ok(Embedded { source, content_type, hash, has_brotli, has_gzip })
}

impl Embedded {
    /// Whether the path contains a hash of the content, so that the response never changes.
    fn immutable(&self) -> bool {
        self.source.starts_with(PACKAGE)
    }

    /// The URL path: `pkg/app.js` becomes `/pkg/<release>/app.js`. The hash is in the folder's name, because the
    /// files refer to each other, some in a cycle.
    fn path(&self, release: &str) -> String {
        match self.source.strip_prefix(PACKAGE) {
            Some(name) => format!("/{PACKAGE}{release}/{name}"),
            None => format!("/{}", self.source),
        }
    }
}

/// The version of the files that change together: a hash of their names and contents.
fn release(files: &[Embedded]) -> String {
    let mut digest = Sha256::new();
    for file in files.iter().filter(|file| file.immutable()) {
        digest.update(format!("{} {}\n", file.hash, file.source));
    }
    hex(&digest.finalize()).chars().take(HASH_DIGITS).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The media type by file name extension (RFC 9239 for scripts, the WebAssembly Web API for wasm).
fn content_type(source: &str) -> Option<&'static str> {
    let (_, extension) = source.rsplit_once('.')?;
    Some(match extension {
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "jpg" => "image/jpeg",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json; charset=utf-8",
        "png" => "image/png",
        "svg" => "image/svg+xml; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

/// Stores the compressed form in the cache, and returns whether it is smaller.
fn smaller(path: &Path, bytes: &[u8], compress: fn(&[u8]) -> io::Result<Vec<u8>>) -> io::Result<bool> {
    store(path, || compress(bytes))?;
    Ok(fs::metadata(path)?.len() < bytes.len() as u64)
}

/// Writes a file that is named by its content, unless it exists already.
fn store(path: &Path, content: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    // An interrupted build must not leave an incomplete file under the final name.
    let draft = path.with_extension("draft");
    fs::write(&draft, content()?)?;
    fs::rename(draft, path)
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut packed, 1 << 16, 11, 24);
    writer.write_all(bytes)?;
    drop(writer);
    Ok(packed)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Removes copies of files that the site no longer has.
fn remove_stale(cache: &Path, files: &[Embedded]) -> io::Result<()> {
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        let known = path.file_stem().is_some_and(|stem| files.iter().any(|file| stem == OsStr::new(&file.hash)));
        if !known {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The generated code: the paths of the main files, of the scripts that the main script imports, and of the secondary
/// views' WebAssembly. Also a table of all files, sorted by path.
fn table(files: &[Embedded]) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    let release = release(files);
    for (name, source) in MAIN_FILES {
        let path = files.iter().find(|file| file.source == source).map(|file| file.path(&release)).unwrap_or_default();
        writeln!(code, "const {name}: &str = {path:?};")?;
    }
    let is_main = |file: &Embedded| MAIN_FILES.iter().any(|(_, source)| file.source == *source);
    let others = |extension: &str| -> Vec<String> {
        let has_extension = |file: &Embedded| Path::new(&file.source).extension() == Some(OsStr::new(extension));
        let found = files.iter().filter(|file| file.immutable() && has_extension(file) && !is_main(file));
        found.map(|file| file.path(&release)).collect()
    };
    let secondary: Vec<String> = others("wasm").into_iter().filter(|path| path.contains(SECONDARY)).collect();
    writeln!(code, "const IMPORTED: &[&str] = &{:?};", others("js"))?;
    writeln!(code, "const SECONDARY: &[&str] = &{secondary:?};")?;
    let mut sorted: Vec<(String, &Embedded)> = files.iter().map(|file| (file.path(&release), file)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    writeln!(code, "static FILES: &[Asset] = &[")?;
    for (path, file) in sorted {
        let Embedded { content_type, hash, has_brotli, has_gzip, .. } = file;
        let bytes = |ending: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/site/{hash}{ending}\"))");
        let packed =
            |there: bool, ending: &str| if there { format!("Some({})", bytes(ending)) } else { "None".to_owned() };
        writeln!(
            code,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, hash: {hash:?}, immutable: {}, \
             identity: {}, brotli: {}, gzip: {} }},",
            file.immutable(),
            bytes(""),
            packed(*has_brotli, ".br"),
            packed(*has_gzip, ".gz"),
        )?;
    }
    writeln!(code, "];")?;
    Ok(code)
}
