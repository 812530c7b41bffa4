//! API tokens: random, stored hashed, the administrator's also in a file only its owner can read.

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use plugin_api::{Actor, ActorType, Clock, Db, Doc, Principal};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

plugin_api::statements! {
    COUNT = "select count(*) from signalbox.api_tokens where name = $1";
    INSERT = "insert into signalbox.api_tokens (hash, name, actor, rules, created_at) values ($1, $2, $3, $4, $5) on conflict do nothing";
    DELETE = "delete from signalbox.api_tokens where hash = $1";
    BY_HASH = "select actor, rules from signalbox.api_tokens where hash = $1";
}

plugin_api::row! {
    struct Found {
        actor: Doc,
        rules: Doc,
    }
}

const ADMIN: &str = "administrator";

/// Where the administrator token of a data folder is.
pub fn admin_token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin-token")
}

/// Reads the administrator token that `serve` left for the command line.
pub fn read_admin_token(data_dir: &Path) -> anyhow::Result<String> {
    let path = admin_token_path(data_dir);
    match std::fs::read_to_string(&path) {
        Ok(t) => Ok(t.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no administrator token at {}: name the data folder of the server with --data-dir, or give a token with --token. `signalbox serve` makes the token at the first start on a database; for a second node copy the file from the first. If it is lost, `signalbox token` issues a new one",
            path.display()
        ),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

/// Writes a file that only its owner can read, complete or not at all.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    Ok(())
}

/// Makes sure that an administrator token exists; answers it when it was made now.
///
/// The file is written before the row: a crash between the two leaves a file whose token the next
/// start adopts, never a row whose token nobody knows.
pub async fn ensure_admin(
    db: &Db,
    clock: &dyn Clock,
    data_dir: &Path,
) -> anyhow::Result<Option<String>> {
    if db.sql(COUNT).bind(ADMIN.to_owned()).one::<i64>().await? > 0 {
        return Ok(None);
    }
    let path = admin_token_path(data_dir);
    let token = match std::fs::read_to_string(&path) {
        Ok(t) if t.trim().starts_with("sb_") => t.trim().to_owned(),
        _ => {
            let token = random("admin")?;
            keep(data_dir, &token)?;
            token
        }
    };
    if !insert(db, clock, ADMIN, &token).await? {
        // Another node was first: its token is the one, and ours would only mislead.
        std::fs::remove_file(&path).ok();
        return Ok(None);
    }
    Ok(Some(token))
}

/// Makes one more token that may do everything; `role` says in its text and name what it is for.
/// Others stay as they are.
pub async fn issue(db: &Db, clock: &dyn Clock, role: &str) -> anyhow::Result<String> {
    let token = random(role)?;
    let name = format!("{role}:{}", clock.new_uuid());
    anyhow::ensure!(
        insert(db, clock, &name, &token).await?,
        "the token {name} exists already"
    );
    Ok(token)
}

/// Deletes a token. A running server that has seen it knows it until it is stopped.
pub async fn revoke(db: &Db, token: &str) -> anyhow::Result<()> {
    db.sql(DELETE).bind(hash(token)).execute().await?;
    Ok(())
}

/// Shows a new token, the only time.
pub fn announce(data_dir: &Path, token: &str) {
    println!(
        "Administrator token (shown once, kept in {}):",
        admin_token_path(data_dir).display()
    );
    println!("  {token}");
}

/// Puts a token where the command line finds it.
pub fn keep(data_dir: &Path, token: &str) -> anyhow::Result<()> {
    let path = admin_token_path(data_dir);
    write_private(&path, &format!("{token}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn random(role: &str) -> anyhow::Result<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random)
        .map_err(|e| anyhow::anyhow!("the system has no randomness: {e}"))?;
    Ok(format!("sb_{role}_{}", URL_SAFE_NO_PAD.encode(random)))
}

/// Stores a token that may do everything; false when one of this name is there.
async fn insert(db: &Db, clock: &dyn Clock, name: &str, token: &str) -> anyhow::Result<bool> {
    let actor = Actor {
        kind: ActorType::User,
        id: "administrator".into(),
        name: Some("Administrator".into()),
    };
    let made = db
        .sql(INSERT)
        .bind(hash(token))
        .bind(name.to_owned())
        .bind(Doc::of(&actor)?)
        .bind(Doc(json!(["*"])))
        .bind(clock.now())
        .execute()
        .await?;
    Ok(made > 0)
}

/// The principal of a token. The look-up is by hash, so its time tells nothing about stored tokens.
pub async fn principal(db: &Db, token: &str) -> Result<Option<Principal>, plugin_api::db::DbError> {
    Ok(db
        .sql(BY_HASH)
        .bind(hash(token))
        .optional::<Found>()
        .await?
        .map(|f| Principal {
            actor: Actor::from_stored(&f.actor.0).0,
            rules: f.rules.decode::<BTreeSet<String>>().unwrap_or_default(),
        }))
}
