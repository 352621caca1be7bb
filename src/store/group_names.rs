//! The names of groups, as statements return them.

/// The names of groups in alphabetical order. The name of a group contains no comma.
pub fn split_names(names: &str) -> Vec<String> {
    let mut names: Vec<String> = names.split(',').map(str::to_owned).collect();
    names.sort_by_cached_key(|name| name.to_lowercase());
    names
}
