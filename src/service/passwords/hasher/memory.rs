//! The memory of argon2, and its errors.

use argon2::Block;

use crate::service::{Error, passwords::workers::queue_full};

/// The memory of one hash.
pub type Memory = Vec<Block>;

/// Grows memory to the size of a hash. If there is not enough, the caller gets an error that the server is busy. A
/// failed ordinary allocation would abort the server.
pub fn grow(memory: &mut Memory, blocks: usize) -> Result<(), Error> {
    memory.try_reserve_exact(blocks.saturating_sub(memory.len())).map_err(|cause| {
        tracing::error!(%cause, "not enough memory for a password hash");
        queue_full()
    })?;
    memory.resize(memory.len().max(blocks), Block::new());
    Ok(())
}

pub fn fault(cause: impl std::fmt::Display) -> Error {
    Error::Fault(format!("a password hash failed: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AppError;

    #[test]
    fn a_hash_without_memory_fails_and_stops_nothing_r98() {
        let mut memory = vec![Block::new()];
        let refused = grow(&mut memory, usize::MAX >> 11);
        assert!(matches!(refused, Err(Error::Refused(AppError::Unavailable { .. }))), "{refused:?}");
        assert!(grow(&mut memory, 2).is_ok_and(|()| memory.len() == 2), "a smaller allocation succeeds");
    }
}
