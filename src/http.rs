//! What requests and responses share: the state, extractors, the context of server functions, errors as responses, the
//! page's files.

pub mod assets;
pub mod brand;
pub mod client_ip;
pub mod context;
pub mod encoding;
pub mod extract;
pub mod gzip;
pub mod operation;
pub mod origin;
pub mod response;
pub mod state;
pub mod trust;
