//! Eager inverse cancel: a dwell whose cause is over goes at once, whichever event said so
//! (`dispatch §6.4`).

use super::{
    decide::Standing,
    hold,
    rows::{self, Dwell},
};
use crate::{
    shared::Shared,
    why::{self, Cancelled, Entry, Ruling},
};
use automation_core::DwellId;
use plugin_api::{Text, Ts, Tx, db::DbError};
use std::sync::Arc;

/// Which of these context keys have armed dwells.
pub async fn check(tx: &mut Tx, context_keys: &[String]) -> Result<Vec<String>, DbError> {
    if context_keys.is_empty() {
        return Ok(Vec::new());
    }
    tx.sql(rows::CONTEXTS).texts(context_keys).all().await
}

/// Deletes the dwells of a context key that no longer hold. Only those armed before the read began:
/// a late check must not kill a dwell armed after it.
pub async fn cancel(shared: &Arc<Shared>, tx: &mut Tx, context_key: &str) -> Result<(), DbError> {
    let began: Ts = shared.clock.now();
    let armed: Vec<Dwell> = tx
        .sql(rows::OF_CONTEXT)
        .bind(Text::new(context_key))
        .bind(began)
        .all()
        .await?;
    if armed.is_empty() {
        return Ok(());
    }
    let standings = hold::standings(shared, &armed).await;
    let over: Vec<&Dwell> = armed
        .iter()
        .zip(standings)
        .filter(|(_, s)| *s == Standing::Over)
        .map(|(d, _)| d)
        .collect();
    let ids: Vec<DwellId> = over.iter().map(|d| d.id).collect();
    let mine = rows::claim(tx, &ids).await?;
    let told = over.iter().map(|d| {
        let ruling = Ruling::DwellCancelled(Cancelled::Left(d.armed_status.clone()));
        (d.id, Entry::of_dwell(d, began, ruling))
    });
    why::claimed(shared, tx, told.collect(), &mine);
    for id in mine {
        tracing::debug!(dwell = %id, context_key, "An armed dwell was cancelled: what it waits on does not hold any more.");
    }
    Ok(())
}
