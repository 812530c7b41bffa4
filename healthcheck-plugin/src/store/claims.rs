//! At most one run of an assignment at a time, in the whole cluster (`healthcheck §5.1.5`).
//!
//! A run claims its assignment by a row with an expiry a little after its time limit, prolongs it
//! when it comes to recording, and gives the row back in the transaction that records it. A node that
//! dies leaves a row that expires. A run whose row has passed to another, or went with its assignment,
//! records nothing.

use plugin_api::{
    Conn, Id, Text, Ts,
    db::{Result, is_foreign_key_violation},
};

plugin_api::statements! {
    TAKE = "insert into health_check_claims (system_id, configuration_id, owner, expires_at)
        values ($1, $2, $3, $5)
        on conflict (system_id, configuration_id) do update
            set owner = excluded.owner, expires_at = excluded.expires_at
            where health_check_claims.expires_at <= $4";
    RENEW = "update health_check_claims set expires_at = $4
        where system_id = $1 and configuration_id = $2 and owner = $3";
    GIVE_BACK = "delete from health_check_claims
        where system_id = $1 and configuration_id = $2 and owner = $3";
    CLEAR = "delete from health_check_claims";
}

/// A claim that was won.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The system.
    pub system_id: String,
    /// The configuration.
    pub configuration_id: Id,
    /// Unique to this run.
    pub owner: Id,
}

/// Takes the claim; false when a run is in flight, or the assignment is gone.
pub async fn take(mut at: Conn<'_>, claim: &Claim, now: Ts, lease_ms: i64) -> Result<bool> {
    let taken = at
        .sql(TAKE)
        .bind(Text::new(claim.system_id.as_str()))
        .bind(claim.configuration_id)
        .bind(claim.owner)
        .bind(now)
        .bind(now.plus_millis(lease_ms))
        .execute()
        .await;
    match taken {
        Ok(rows) => Ok(rows > 0),
        Err(e) if is_foreign_key_violation(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Prolongs the claim; false when it is no longer held.
pub async fn renew(mut at: Conn<'_>, claim: &Claim, now: Ts, lease_ms: i64) -> Result<bool> {
    let rows = at
        .sql(RENEW)
        .bind(Text::new(claim.system_id.as_str()))
        .bind(claim.configuration_id)
        .bind(claim.owner)
        .bind(now.plus_millis(lease_ms))
        .execute()
        .await?;
    Ok(rows > 0)
}

/// Gives the claim back; false when it is no longer held.
pub async fn give_back(mut at: Conn<'_>, claim: &Claim) -> Result<bool> {
    let rows = at
        .sql(GIVE_BACK)
        .bind(Text::new(claim.system_id.as_str()))
        .bind(claim.configuration_id)
        .bind(claim.owner)
        .execute()
        .await?;
    Ok(rows > 0)
}

/// Forgets all claims. For the start of the only process on a database: what claimed is dead.
pub async fn clear(mut at: Conn<'_>) -> Result<()> {
    at.sql(CLEAR).execute().await?;
    Ok(())
}
