//! Code that the fuzz targets share with the tests. The tests replay the corpus on stable Rust.

#![allow(dead_code, clippy::all, reason = "this package uses only a part of the shared code")]

pub mod oracles;
#[path = "../tests"]
mod tests {
    pub mod util;
}
pub use tests::util;
