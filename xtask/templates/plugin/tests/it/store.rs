//! The table and what is said to it.

use migrations::{Migrator, Owner};
use plugin_api::{Conn, PluginId};
use sprocket_plugin::{MIGRATIONS, store};
use test_kit::{TestDb, VirtualClock, both_engines, prepare_all};

both_engines! {
    async fn every_statement_suits_the_migrated_tables(db: TestDb) {
        let me = PluginId::new("sprocket");
        let migrator = Migrator::new(db.db().clone(), VirtualClock::new());
        migrator.run(&Owner::plugin(&me, MIGRATIONS)).await.unwrap();

        let own = db.db().scoped(&me.schema());
        prepare_all(&own, store::ALL).await;
        let found = store::by_ids(Conn::Db(&own), &["nobody".into()]).await.unwrap();
        assert!(found.is_empty());
    }
}
