//! What the fuzz targets share with the tests, which replay the corpus on stable Rust.

#![allow(dead_code, clippy::all, reason = "this package uses a part of what it borrows")]

pub mod oracles;
#[path = "../tests"]
mod tests {
    pub mod util;
}
pub use tests::util;
