//! Every statement prepares on both migrated databases (decision 15).

use crate::world::boot;
use plugin_api::PluginId;
use test_kit::{TestDb, both_engines, prepare_all};

both_engines! {
    async fn every_statement_prepares(db: TestDb) {
        let node = boot(&db).await;
        let own = node.runtime().kernel().plugin_database(&PluginId::new("catalog"));
        prepare_all(&own, catalog_plugin::STATEMENTS).await;
        node.shutdown().await;
    }
}
