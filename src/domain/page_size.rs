//! The number of rows in a response.

use serde::{Deserialize, Serialize};

/// How many rows a response contains at most: 1 to 200, by default 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

impl PageSize {
    /// The highest number.
    pub const MAX: u32 = 200;

    /// Returns `None` for a number that is not allowed.
    #[must_use]
    pub fn new(size: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&size).then_some(Self(size))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(50)
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> Self {
        size.0
    }
}

impl TryFrom<u32> for PageSize {
    type Error = &'static str;

    fn try_from(size: u32) -> Result<Self, Self::Error> {
        Self::new(size).ok_or("the limit is 1 to 200")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_between_1_and_200_rows() {
        assert_eq!([0, 1, 200, 201].map(|size| PageSize::new(size).is_some()), [false, true, true, false]);
        assert_eq!(PageSize::default().get(), 50);
    }
}
