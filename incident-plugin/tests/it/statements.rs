//! Every statement prepares on both migrated databases (decision 15).

use crate::world::World;
use plugin_api::PluginId;
use test_kit::{TestDb, both_engines, prepare_all};

both_engines! {
    async fn every_statement_prepares(db: TestDb) {
        let w = World::boot(&db).await;
        let own = w.node.runtime().kernel().plugin_database(&PluginId::new("incident"));
        prepare_all(&own, incident_plugin::STATEMENTS).await;
        w.node.shutdown().await;
    }
}
