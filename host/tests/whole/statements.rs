//! The statements of the host itself prepare on both migrated databases (decision 15).

use test_kit::{TestDb, both_engines, prepare_all};

both_engines! {
    async fn every_statement_prepares(db: TestDb) {
        prepare_all(db.db(), signalbox::token::ALL).await;
        prepare_all(db.db(), migrations::STATEMENTS).await;
    }
}
