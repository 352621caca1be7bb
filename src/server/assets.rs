#[derive(Clone, Debug)]
pub struct PageFiles { pub style: String, pub script: String, pub wasm: String, pub reload: bool }
pub fn page_files() -> PageFiles { PageFiles { style: String::new(), script: String::new(), wasm: String::new(), reload: false } }
pub fn is_embedded() -> bool { false }
pub fn router<S: Clone + Send + Sync + 'static>() -> axum::Router<S> { axum::Router::new() }
