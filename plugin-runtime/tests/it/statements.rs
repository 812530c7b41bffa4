//! Decision 15: every statement is prepared against both migrated databases.

use plugin_runtime::config;
use test_kit::{TestDb, both_engines, prepare_all};

both_engines! {
    async fn every_statement_can_be_prepared(db: TestDb) {
        for statements in [migrations::STATEMENTS, config::STATEMENTS, config::claim::CLAIM_STATEMENTS] {
            prepare_all(db.db(), statements).await;
        }
    }
}
