//! Hashes in the form of Keycloak: the parts are JSON documents, in texts of another JSON document.

use argon2::{
    Algorithm, ParamsBuilder, Version,
    password_hash::phc::{Output, Salt},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{Argon2Hash, ForeignHash, NoHash, Pbkdf2Digest, StoredHash};

/// The secret part of a credential: base64.
#[derive(Deserialize)]
struct Secret {
    value: String,
    salt: String,
}

/// The public part of a credential.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Public {
    hash_iterations: u32,
    algorithm: String,
    #[serde(default)]
    additional_parameters: Additional,
}

/// Each parameter is a list of one text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Additional {
    memory: Vec<String>,
    parallelism: Vec<String>,
    #[serde(rename = "type")]
    kind: Vec<String>,
    version: Vec<String>,
}

impl StoredHash {
    /// Reads a credential of the type `password`: its `secretData` and its `credentialData`.
    pub fn import_keycloak(secret: &str, public: &str) -> Result<ForeignHash, NoHash> {
        let secret: Secret = serde_json::from_str(secret).map_err(|_| NoHash::Damaged)?;
        let public: Public = serde_json::from_str(public).map_err(|_| NoHash::Damaged)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| NoHash::Damaged);
        let (salt, tag) = (decode(&secret.salt)?, decode(&secret.value)?);
        let digest = match public.algorithm.as_str() {
            "pbkdf2" => Pbkdf2Digest::Sha1,
            "pbkdf2-sha256" => Pbkdf2Digest::Sha256,
            "pbkdf2-sha512" => Pbkdf2Digest::Sha512,
            "argon2" => return argon2(&public, &salt, &tag),
            _ => return Err(NoHash::Unknown),
        };
        Self::import_pbkdf2(digest, public.hash_iterations, &salt, &tag)
    }
}

fn argon2(public: &Public, salt: &[u8], tag: &[u8]) -> Result<ForeignHash, NoHash> {
    let Additional { memory, parallelism, kind, version } = &public.additional_parameters;
    let first = |list: &[String]| list.first().cloned().ok_or(NoHash::Damaged);
    let number = |list: &[String]| first(list)?.parse::<u32>().map_err(|_| NoHash::Damaged);
    let algorithm = match first(kind)?.as_str() {
        "id" => Algorithm::Argon2id,
        "i" => Algorithm::Argon2i,
        _ => return Err(NoHash::Unknown),
    };
    let version = match first(version)?.as_str() {
        "1.3" => Version::V0x13,
        "1.0" => Version::V0x10,
        _ => return Err(NoHash::Unknown),
    };
    let tag = Output::new(tag).map_err(|_| NoHash::OutOfBounds)?;
    let mut params = ParamsBuilder::new();
    params.m_cost(number(memory)?).t_cost(public.hash_iterations).p_cost(number(parallelism)?).output_len(tag.len());
    let params = params.build().map_err(|_| NoHash::OutOfBounds)?;
    let salt = Salt::new(salt).map_err(|_| NoHash::OutOfBounds)?;
    let hash = ForeignHash::Argon2(Argon2Hash { algorithm, version, params, salt, tag });
    if hash.is_within_limits() { Ok(hash) } else { Err(NoHash::OutOfBounds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_of_keycloak_becomes_a_hash() {
        let secret = r#"{"value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","salt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#;
        let public = |algorithm: &str, iterations: u64, more: &str| {
            format!(r#"{{"hashIterations":{iterations},"algorithm":"{algorithm}","additionalParameters":{{{more}}}}}"#)
        };
        let import = |public: &str| StoredHash::import_keycloak(secret, public).map(|hash| hash.to_string());
        let (salt, tag) = ("A".repeat(22), "A".repeat(43));
        assert_eq!(
            import(&public("pbkdf2-sha512", 210_000, "")),
            Ok(format!("$pbkdf2-sha512$i=210000,l=32${salt}${tag}"))
        );
        let more = r#""hashLength":["32"],"memory":["7168"],"type":["id"],"version":["1.3"],"parallelism":["1"]"#;
        assert_eq!(import(&public("argon2", 5, more)), Ok(format!("argon2$argon2id$v=19$m=7168,t=5,p=1${salt}${tag}")));
        assert_eq!(import(&public("argon2", 5, "")), Err(NoHash::Damaged));
        assert_eq!(import(&public("argon2", 17, more)), Err(NoHash::OutOfBounds));
        assert_eq!(import(&public("pbkdf2", 10_000_001, "")), Err(NoHash::OutOfBounds));
        assert_eq!(import(&public("bcrypt", 10, "")), Err(NoHash::Unknown));
        assert_eq!(import("{}"), Err(NoHash::Damaged));
    }
}
