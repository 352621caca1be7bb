//! What the page needs of the browser: the address, the document, the storage, and the settings that the document carries.

pub mod dom;
pub mod location;
pub mod settings;
pub mod storage;
pub mod typed;
