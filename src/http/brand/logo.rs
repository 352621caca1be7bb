//! A logo from a file.

use std::{fmt, fs::File, io::Read, path::Path, sync::Arc};

use axum::body::Bytes;
use serde::{Deserialize, Deserializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::{domain::colour::Accent, service::Png};

/// The maximum size of a logo in bytes. Every visitor loads it.
const MAX_BYTES: u64 = 128 * 1024;
/// Bytes of the content's hash in the path.
const HASH_BYTES: usize = 8;

/// A picture. Cheap to copy.
#[derive(Clone)]
pub struct Logo(Arc<Image>);

struct Image {
    kind: Kind,
    hash: String,
    bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Png,
    Svg,
    Webp,
}

impl Logo {
    /// Reads a file. The content determines the format, not the name. The error says what is wrong with the file.
    fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |cause: std::io::Error| format!("{} can't be read: {cause}", path.display());
        let mut bytes = Vec::new();
        File::open(path).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("{} is larger than {} KiB; use a smaller file", path.display(), MAX_BYTES / 1024));
        }
        let kind = Kind::of(&bytes).ok_or_else(|| format!("{} is not a PNG, SVG or WebP picture", path.display()))?;
        Ok(Self::new(kind, bytes))
    }

    fn new(kind: Kind, bytes: Vec<u8>) -> Self {
        let hash = Sha256::digest(&bytes)
            .iter()
            .take(HASH_BYTES)
            .fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
        Self(Arc::new(Image { kind, hash, bytes: bytes.into() }))
    }

    /// The default mark, a doorway, in the colours of both themes.
    #[must_use]
    pub fn mark(light: &Accent, dark: &Accent) -> Self {
        let theme = |accent: &Accent| format!("rect{{fill:{}}}path{{fill:{}}}", accent.plain, accent.on);
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><style>{}@media(prefers-color-scheme:dark){{{}}}</style>\
             <rect width=\"32\" height=\"32\" rx=\"8\"/>\
             <path d=\"M9 26V14a7 7 0 0 1 14 0v12h-4V14a3 3 0 0 0-6 0v12z\"/></svg>",
            theme(light),
            theme(dark)
        );
        Self::new(Kind::Svg, svg.into_bytes())
    }

    /// The path, which changes with the content.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/brand/{}.{}", self.0.hash, self.0.kind.ending())
    }

    /// The media type.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self.0.kind {
            Kind::Png => "image/png",
            Kind::Svg => "image/svg+xml; charset=utf-8",
            Kind::Webp => "image/webp",
        }
    }

    /// The content if it is a PNG. Most mail programs can show neither SVG nor WebP.
    #[must_use]
    pub fn png(&self) -> Option<Png> {
        (self.0.kind == Kind::Png).then(|| Png::new(&self.0.bytes))
    }

    /// The content.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.0.bytes.clone()
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logo").field(&self.path()).finish()
    }
}

impl Kind {
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Some(Self::Png);
        }
        if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            return Some(Self::Webp);
        }
        let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
        let begins = ["<svg", "<?xml", "<!--", "<!DOCTYPE svg"].iter().any(|start| text.starts_with(start));
        (begins && text.contains("<svg")).then_some(Self::Svg)
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Webp => "webp",
        }
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Logo>, D::Error> {
    let path = String::deserialize(from)?;
    if path.is_empty() {
        return Ok(None);
    }
    Logo::read(Path::new(&path)).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_an_image_follows_from_its_content() {
        let table: [(&[u8], Option<Kind>); 9] = [
            (b"\x89PNG\r\n\x1a\n....", Some(Kind::Png)),
            (b"RIFF....WEBPVP8 ", Some(Kind::Webp)),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", Some(Kind::Svg)),
            ("\u{feff}\n<?xml version=\"1.0\"?><svg/>".as_bytes(), Some(Kind::Svg)),
            (b"<?xml version=\"1.0\"?><html/>", None),
            (b"<html><svg/></html>", None),
            (b"GIF89a", None),
            (b"RIFF....WAVE", None),
            (b"", None),
        ];
        for (bytes, kind) in table {
            assert_eq!(Kind::of(bytes), kind, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_file_that_is_no_small_image_is_rejected_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            Logo::read(&path)
        };
        let mut large = b"\x89PNG\r\n\x1a\n".to_vec();
        assert_eq!(file("logo", &large).expect("a picture").content_type(), "image/png");
        large.resize(usize::try_from(MAX_BYTES).expect("small") + 1, 0);
        assert!(file("large.png", &large).expect_err("too large").contains("128 KiB"));
        assert!(file("text.png", b"hello").expect_err("no picture").contains("not a PNG"));
        assert!(Logo::read(&folder.path().join("missing.png")).expect_err("missing").contains("can't be read"));
    }

    #[test]
    fn the_path_of_a_file_changes_with_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |bytes: &[u8]| {
            let path = folder.path().join("logo.svg");
            std::fs::write(&path, bytes).expect("written");
            Logo::read(&path).expect("a picture").path()
        };
        let (one, two) = (path(b"<svg/>"), path(b"<svg />"));
        assert!(one != two && one.starts_with("/brand/") && one.contains(".svg"), "{one} {two}");
    }
}
