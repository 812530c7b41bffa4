//! Automations that older releases made by themselves to open incidents are deleted: nothing is
//! opened automatically by the platform any more (`domains §4.10`).

use super::DataReport;
use crate::ids::AutomationId;
use crate::store::sql;
use plugin_api::{Text, Tx, db::DbError};

plugin_api::statements! {
    /// All begin with `auto-incident:`; a comparison of parts, because `like` ignores case on one of
    /// the engines.
    DELETE = "delete from signalbox.automations where substr(managed_by, 1, 14) = 'auto-incident:' returning id, name";
}

plugin_api::row! {
    struct Deleted {
        id: AutomationId,
        name: Text,
    }
}

pub(super) async fn apply(tx: &mut Tx, report: &mut DataReport) -> Result<(), DbError> {
    // The generation first, as every other writer takes its locks.
    tx.sql(sql::BUMP).one::<i64>().await?;
    let gone: Vec<Deleted> = tx.sql(DELETE).all().await?;
    for automation in gone {
        tracing::info!(automation = %automation.id, name = %automation.name.as_str(), "An automation that an older release made by itself was deleted.");
        report.deleted.push(automation.id);
    }
    Ok(())
}
