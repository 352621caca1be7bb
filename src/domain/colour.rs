//! Colours and their contrast (WCAG 2.2, 1.4.3).

use std::fmt;

/// The minimum contrast of text and its background.
const READABLE: f64 = 4.5;

/// An sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([255; 3]);

    /// Parses `#rrggbb`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// Mixes in a share of another colour, from 0 to 1.
    fn mixed(self, other: Self, share: f64) -> Self {
        let mut mixed = self.0;
        for (own, theirs) in mixed.iter_mut().zip(other.0) {
            let value = f64::from(*own) * (1.0 - share) + f64::from(theirs) * share;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between two bytes")]
            let value = value.round() as u8;
            *own = value;
        }
        Self(mixed)
    }

    /// The relative luminance.
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0;
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    /// The contrast of two colours, from 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// A readable accent colour and its variants for one theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accent {
    /// For links and buttons.
    pub plain: Colour,
    /// For links and buttons under the pointer.
    pub strong: Colour,
    /// The background of a selected item.
    pub soft: Colour,
    /// For text on the accent colour.
    pub on: Colour,
}

impl Accent {
    /// For the light theme: the configured colour, darkened until it is readable.
    #[must_use]
    pub fn light(configured: Colour) -> Self {
        Self::derive(configured, Colour([0xf3, 0xf3, 0xf7]), Colour::BLACK, Colour::WHITE)
    }

    /// For the dark theme: the configured colour, lightened until it is readable.
    #[must_use]
    pub fn dark(configured: Colour) -> Self {
        Self::derive(configured, Colour([0x1a, 0x1b, 0x23]), Colour::WHITE, Colour([0x11, 0x12, 0x18]))
    }

    /// `panel` is the theme's background with the least contrast, as in `style/tokens.css`. Mixing in `away` raises the
    /// contrast.
    fn derive(configured: Colour, panel: Colour, away: Colour, on: Colour) -> Self {
        let candidate = |step: u32| {
            let plain = configured.mixed(away, f64::from(step) / 50.0);
            Self { plain, strong: plain.mixed(away, 0.2), soft: panel.mixed(plain, 0.1), on }
        };
        let is_readable = |accent: &Self| {
            [panel, accent.soft, accent.on].iter().all(|other| accent.plain.contrast(*other) >= READABLE)
        };
        (0..50).map(candidate).find(is_readable).unwrap_or_else(|| candidate(50))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(text: &str) -> Colour {
        Colour::parse(text).expect(text)
    }

    #[test]
    fn only_six_hexadecimal_digits_are_a_colour() {
        assert_eq!(colour("#4B3fd0").to_string(), "#4b3fd0");
        for text in ["", "4b3fd0", "#4b3", "#4b3fd0ff", "#+b3fd0", "#4b3fdé", "red", "#4b3fd0;}"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn contrast_is_computed_as_in_wcag() {
        assert!((Colour::BLACK.contrast(Colour::WHITE) - 21.0).abs() < 1e-9);
        // The lightest grey with enough contrast on white.
        assert!(colour("#767676").contrast(Colour::WHITE) >= READABLE);
        assert!(colour("#777777").contrast(Colour::WHITE) < READABLE);
    }

    #[test]
    fn every_accent_colour_is_readable_in_both_themes() {
        let levels = (0..=255).step_by(51);
        for (red, green, blue) in levels.clone().flat_map(|r| {
            let levels = levels.clone();
            levels.clone().flat_map(move |g| levels.clone().map(move |b| (r, g, b)))
        }) {
            let wish = Colour([red, green, blue]);
            let grounds = [
                (Accent::light(wish), ["#f3f3f7", "#f6f6f9", "#ffffff"]),
                (Accent::dark(wish), ["#1a1b23", "#14151c", "#111218"]),
            ];
            for (accent, grounds) in grounds {
                for ground in grounds.map(colour).into_iter().chain([accent.soft]) {
                    assert!(accent.plain.contrast(ground) >= READABLE, "{wish} as {accent:?} on {ground}");
                    assert!(accent.strong.contrast(ground) >= READABLE, "{wish} as {accent:?} on {ground}");
                }
                assert!(
                    accent.on.contrast(accent.plain) >= READABLE && accent.on.contrast(accent.strong) >= READABLE,
                    "{wish}"
                );
            }
        }
    }

    #[test]
    fn a_readable_accent_colour_is_unchanged() {
        assert_eq!(Accent::light(colour("#0a4fd6")).plain.to_string(), "#0a4fd6");
        assert_eq!(Accent::dark(colour("#ffd84d")).plain.to_string(), "#ffd84d");
    }
}
