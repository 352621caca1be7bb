//! Negotiates the content encoding of a response (RFC 9110, section 12.5.3).

use axum::http::{HeaderMap, header::ACCEPT_ENCODING};

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
    /// Not encoded.
    Identity,
}

impl Encoding {
    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The `available` encoding with the highest quality; among equals the first. If the client accepts none of them,
    /// the response is not encoded, because every client can read that.
    pub fn choose(headers: &HeaderMap, available: impl IntoIterator<Item = Self>) -> Self {
        let mut best = (Self::Identity, 0);
        for encoding in available {
            let quality = quality(headers, encoding);
            if quality > best.1 {
                best = (encoding, quality);
            }
        }
        best.0
    }
}

/// The quality of an encoding in thousandths. An encoding that the client doesn't name is not acceptable. Identity is
/// always acceptable unless it is excluded, but ranks below every named encoding.
fn quality(headers: &HeaderMap, encoding: Encoding) -> u16 {
    let mut of_all = None;
    for (name, quality) in headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(parse) {
        if name.eq_ignore_ascii_case(encoding.name()) {
            return quality;
        }
        if name == "*" {
            of_all = Some(quality);
        }
    }
    match encoding {
        Encoding::Identity => of_all.map_or(1, |quality| quality.min(1)),
        _ => of_all.unwrap_or(0),
    }
}

/// The encodings in a header line, each with its quality.
fn parse(line: &str) -> impl Iterator<Item = (&str, u16)> {
    line.split(',').map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, quality.map_or(1000, thousandths))
    })
}

/// A quality value. One that can't be parsed means "not acceptable".
fn thousandths(text: &str) -> u16 {
    match text.trim().parse::<f32>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value lies between 0 and 1000"
        )]
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::{Encoding::*, *};

    fn choose(lines: &[&'static str]) -> Encoding {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
        }
        Encoding::choose(&headers, [Brotli, Gzip, Identity])
    }

    #[test]
    fn the_best_encoding_that_the_client_accepts_is_chosen() {
        let table = [
            (&[][..], Identity),
            (&[""], Identity),
            (&["gzip, deflate, br, zstd"], Brotli),
            (&["gzip, deflate"], Gzip),
            (&["gzip", "br"], Brotli),
            (&["BR"], Brotli),
            (&["br;q=0.5, gzip;q=0.8"], Gzip),
            (&["br;q=0, gzip"], Gzip),
            (&["br;q=0, gzip;q=0"], Identity),
            (&["br ; q=0.000 , gzip ; q=0.001"], Gzip),
            (&["*"], Brotli),
            (&["*;q=0.5, br;q=0"], Gzip),
            (&["*;q=0"], Identity),
            (&["identity"], Identity),
            (&["identity;q=1, br;q=0.5"], Identity),
            (&["identity;q=0.5, br"], Brotli),
            (&["br;q=nonsense, gzip;q=7"], Identity),
            (&["zstd"], Identity),
        ];
        for (lines, expected) in table {
            assert_eq!(choose(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_an_available_encoding_is_chosen() {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"))]);
        assert_eq!(Encoding::choose(&headers, [Gzip, Identity]), Gzip);
        assert_eq!(Encoding::choose(&headers, [Identity]), Identity);
    }
}
