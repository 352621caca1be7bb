//! Compares passwords with the hashes of other systems.

use argon2::{Argon2, Block};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::memory::{Memory, fault, grow};
use crate::{
    domain::stored_hash::{Argon2Hash, BcryptHash, ForeignHash, Pbkdf2Digest, Pbkdf2Hash, ScryptHash},
    service::{Error, passwords::workers::queue_full},
};

/// Whether a password has a hash. `memory` is reused by argon2.
pub fn matches(hash: &ForeignHash, password: &[u8], memory: &mut Memory) -> Result<bool, Error> {
    match hash {
        ForeignHash::Argon2(hash) => argon2_tag(hash, password, memory),
        ForeignHash::Pbkdf2(hash) => Ok(pbkdf2_matches(hash, password)),
        ForeignHash::Scrypt(hash) => scrypt_matches(hash, password),
        ForeignHash::Bcrypt(hash) => bcrypt_matches(hash, password),
    }
}

// All outputs are compared in constant time: by `Output`, or by the crate bcrypt.

fn argon2_tag(hash: &Argon2Hash, password: &[u8], memory: &mut Vec<Block>) -> Result<bool, Error> {
    let Argon2Hash { algorithm, version, params, salt, tag } = hash;
    grow(memory, params.block_count())?;
    let argon2 = Argon2::new(*algorithm, *version, params.clone());
    is_output(tag, |out| argon2.hash_password_into_with_memory(password, salt, out, memory).map_err(fault))
}

fn pbkdf2_matches(hash: &Pbkdf2Hash, password: &[u8]) -> bool {
    let Pbkdf2Hash { digest, iterations, salt, tag } = hash;
    let (salt, rounds) = (salt.as_bytes(), *iterations);
    is_output(tag, |out| {
        match digest {
            Pbkdf2Digest::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, out),
            Pbkdf2Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, out),
            Pbkdf2Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, rounds, out),
        }
        Ok(())
    })
    .unwrap_or(false)
}

fn scrypt_matches(hash: &ScryptHash, password: &[u8]) -> Result<bool, Error> {
    let ScryptHash { log_n, r, p, salt, tag } = hash;
    // The crate would abort the server if there is not enough memory.
    let memory = ForeignHash::Scrypt(hash.clone()).memory();
    Vec::<u8>::new().try_reserve_exact(memory).map_err(|cause| {
        tracing::error!(%cause, "not enough memory for a password hash");
        queue_full()
    })?;
    let params = scrypt::Params::new(*log_n, *r, *p).map_err(fault)?;
    is_output(tag, |out| scrypt::scrypt(password, salt.as_bytes(), &params, out).map_err(fault))
}

fn bcrypt_matches(hash: &BcryptHash, password: &[u8]) -> Result<bool, Error> {
    if hash.of_sha256 {
        let digest = Sha256::digest(password);
        let mut hex = Zeroizing::new(String::with_capacity(64));
        hex.extend(
            digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|d| char::from_digit(d.into(), 16)),
        );
        return bcrypt::verify(hex.as_bytes(), hash.as_str()).map_err(fault);
    }
    // Only the first 72 bytes count.
    bcrypt::verify(password, hash.as_str()).map_err(fault)
}

/// Computes an output of the same length as another, and compares the two.
fn is_output(
    tag: &argon2::password_hash::phc::Output,
    compute: impl FnOnce(&mut [u8]) -> Result<(), Error>,
) -> Result<bool, Error> {
    let mut outcome = Ok(());
    let computed = argon2::password_hash::phc::Output::init_with(tag.len(), |out| {
        outcome = compute(out);
        Ok(())
    });
    outcome?;
    Ok(computed.map_err(fault)? == *tag)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::domain::stored_hash::{NoHash, StoredHash};

    /// A password string that another system made.
    #[derive(Deserialize)]
    struct Vector {
        made_by: String,
        format: String,
        note: String,
        /// `None` if no password opens it.
        password: Option<String>,
        encoded: String,
    }

    fn vectors() -> Vec<Vector> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/fixtures/password-hashes.jsonl");
        let text = std::fs::read_to_string(path).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("a vector")).collect()
    }

    fn opens(hash: &ForeignHash, password: &str) -> bool {
        matches(hash, password.as_bytes(), &mut Memory::new()).expect("a comparison")
    }

    #[test]
    fn every_password_opens_its_hash_and_no_other_does_r146() {
        let mut kept = 0;
        for Vector { made_by, format, note, password, encoded } in vectors() {
            let name = format!("{made_by}, {format}, {note}");
            match (StoredHash::import(&encoded), password) {
                (Ok(hash), Some(password)) => {
                    let stored = StoredHash::parse(&StoredHash::Foreign(hash.clone()).to_string());
                    assert_eq!(stored, Some(StoredHash::Foreign(hash.clone())), "{name}");
                    assert!(opens(&hash, &password), "{name}");
                    assert!(!opens(&hash, &format!("{}x", password.chars().next().unwrap_or('y'))), "{name}");
                    kept += 1;
                }
                (Ok(hash), None) => panic!("{name}: {hash} is not usable"),
                (Err(NoHash::Weak), Some(_)) => {
                    assert!(["md5", "unsalted_md5", "sha1", "unsalted_sha1", "crypt"].contains(&&*format), "{name}");
                }
                (Err(reason), password) => assert!(password.is_none(), "{name}: {reason:?}"),
            }
        }
        assert!(kept >= 15, "{kept} hashes were compared");
    }

    #[test]
    fn a_hash_with_one_changed_character_opens_no_more_r146() {
        // The cheap ones.
        let cheap = |vector: &Vector| vector.encoded.contains("$1000$") || vector.encoded.contains("m=512");
        let vectors: Vec<Vector> = vectors().into_iter().filter(cheap).collect();
        assert!(vectors.len() >= 4);
        for Vector { password, encoded, note, .. } in vectors {
            let Some(password) = password else { continue };
            let salt = encoded.find('$').expect("an algorithm");
            for at in salt + 1..encoded.len() {
                let mut changed = encoded.clone().into_bytes();
                let byte = changed.get_mut(at).expect("a position");
                *byte = if *byte == b'5' { b'6' } else { b'5' };
                let changed = String::from_utf8(changed).expect("ASCII");
                if let Ok(hash) = StoredHash::import(&changed)
                    && hash.memory() < 1 << 20
                    && !format!("{hash}").contains("i=5000")
                {
                    assert!(!opens(&hash, &password), "{note}: {changed}");
                }
            }
        }
    }
}
