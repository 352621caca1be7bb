//! The page's access to the browser: the address, the document, the storage, and the document's settings.

pub mod dom;
pub mod location;
pub mod settings;
pub mod storage;
pub mod typed;
