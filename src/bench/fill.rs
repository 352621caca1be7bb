//! Fills databases of any size with SQL, which is faster than through the API.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use vestibule::{
    domain::token::{Token, TokenKind},
    service::clock::{Clock, SystemClock},
};

use crate::Outcome;

/// The password of all accounts.
pub const PASSWORD: &str = "tidal marmot kettle";
/// Sessions inserted by one statement.
const BATCH: usize = 2000;
/// SQL for the id of account number `n`.
const ID: &str = "printf('01900000-0000-7000-8000-%012x', n)";

/// Files with sample data of a filled database.
pub struct Filled {
    /// One session token on each line.
    pub tokens: std::path::PathBuf,
    /// One login's JSON on each line.
    pub logins: std::path::PathBuf,
}

/// Creates a database in a folder with the program itself, and fills it with accounts. It gets one session per
/// account, but at least `sessions` in total. About `sessions` tokens and logins, evenly spread, are written to the
/// sample files.
pub fn fill(program: &Path, folder: &Path, users: usize, sessions: usize) -> Outcome<Filled> {
    fs::create_dir_all(folder)?;
    let made = Command::new(program).arg("migrate").current_dir(folder).env_remove("DATABASE_URL").output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let tokens = runtime.block_on(write(&folder.join("vestibule.db"), users, users.max(sessions)))?;
    let filled = Filled { tokens: folder.join("tokens"), logins: folder.join("logins") };
    let step = (tokens.len() / sessions).max(1);
    let chosen: Vec<&str> = tokens.iter().step_by(step).map(Token::expose).collect();
    fs::write(&filled.tokens, chosen.join("\n"))?;
    let step = (users / sessions).max(1);
    let logins = (0..users).step_by(step).fold(String::new(), |mut lines, n| {
        let _ = writeln!(lines, r#"{{"email":"user{n}@example.org","password":"{PASSWORD}"}}"#);
        lines
    });
    fs::write(&filled.logins, logins)?;
    Ok(filled)
}

async fn write(file: &Path, users: usize, sessions: usize) -> Outcome<Vec<Token>> {
    let now = SystemClock.now().as_millis();
    let mut db = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await?;
    let mut tx = db.begin().await?;
    let sql = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1) \
         INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at) \
         SELECT {ID}, 'user' || n || '@example.org', 'user' || n || '@example.org', 'user' || n, 'user' || n, $2, $3 \
         FROM numbers"
    );
    let users = i64::try_from(users)?;
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(users).bind(hash()?).bind(now).execute(&mut *tx).await?;
    let mut rng = StdRng::seed_from_u64(1);
    let tokens: Vec<Token> = (0..sessions).map(|_| Token::generate(TokenKind::Session, || rng.random())).collect();
    let sql = format!(
        "INSERT INTO sessions (id, user_id, token_hash, name, created_at, last_seen_at, expires_at) \
         SELECT printf('01900000-0000-7000-9000-%012x', m), {ID}, hash, 'bench', $3, $3, $3 + 86400000 \
         FROM (SELECT key + $4 AS m, (key + $4) % $2 AS n, unhex(value) AS hash FROM json_each($1))"
    );
    for (batch, tokens) in tokens.chunks(BATCH).enumerate() {
        let hashes: Vec<String> = tokens.iter().map(|token| hex(token.hash().as_bytes())).collect();
        sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .bind(serde_json::to_string(&hashes)?)
            .bind(users)
            .bind(now)
            .bind(i64::try_from(batch * BATCH)?)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    db.close().await?;
    Ok(tokens)
}

/// Hashes the password once for all accounts. A comparison costs the same as with separate hashes.
fn hash() -> Outcome<String> {
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(|cause| cause.to_string())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16]).map_err(|cause| cause.to_string())?;
    Ok(hash.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
