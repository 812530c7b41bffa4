//! The starters of this program against the plugins of this program (`definition §12`).

use automation_core::{
    registry::REGISTRIES,
    starters::{Reason, Starters},
    validate::{Capabilities, Validator},
};
use test_kit::{Kit, TestDb, both_engines};

both_engines! {
    async fn definition_12_every_starter_fits_the_plugins_it_was_written_for(db: TestDb) {
        let node = Kit::new(&db).await.plugins(signalbox::compose::plugins()).boot().await;
        let registries = node.service("test", &REGISTRIES).expect("the engine runs");
        let capabilities = Capabilities::all();
        let validator = Validator { registries: &registries, capabilities: &capabilities };
        let all = Starters::judge(&registries, &|definition| {
            let found = validator.value(definition);
            // They are examples: not even a warning, but for what needs a missing plugin.
            assert!(!found.is_valid() || found.issues.is_empty(), "{:?}", found.issues);
            found
        });
        let served: Vec<&str> = all.served.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(
            served,
            ["automation.auto-incident", "automation.flapping", "automation.latency-threshold", "automation.nightly-report"]
        );
        let [page] = &all.withheld[..] else { panic!("{:?}", all.withheld) };
        assert_eq!(page.id, "automation.page-oncall-sustained-degradation");
        assert_eq!(page.reason, Reason::Missing(vec!["there is no action `automation.notify_user`".into()]));
        node.shutdown().await;
    }
}
