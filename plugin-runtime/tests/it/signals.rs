//! Signals never cost the sender anything.

use plugin_api::{
    BoxError,
    core::SIGNALS,
    masking::MaskSet,
    signal::{Audience, SentSignal},
};
use plugin_runtime::SignalTransport;
use serde_json::json;
use test_kit::{Kit, TestDb, within};
use tracing::Level;

struct Down;
impl SignalTransport for Down {
    fn publish(&self, _: &SentSignal) -> Result<(), BoxError> {
        Err("the line is down".into())
    }
}

#[tokio::test]
async fn plugins_19_34_a_transport_that_is_down_costs_a_warning() {
    let db = TestDb::sqlite().await;
    let kit = Kit::new(&db).await;
    let kit = kit.configure(|b| b.signal_transport(Box::new(Down)));
    let node = kit.boot().await;
    let signals = node.service("mine", &SIGNALS).unwrap();
    let mut clients = signals.subscribe();
    let payload = || MaskSet::empty().mask_json(json!({"id": 7}));
    node.run(async {
        signals.broadcast("mine.changed", payload());
        signals.send_to_users(&[], "mine.nobody", payload());
        signals.send_to_authorized(&["u".into()], "mine.read", "mine.private", payload());
    })
    .await;
    let warnings = node.logs().find(Level::WARN, "the line is down");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    // Clients of this node got theirs all the same, and nobody got what is for nobody.
    let first = within(clients.recv(), "the first signal").await.unwrap();
    assert_eq!(
        serde_json::to_value(&first.signal).unwrap(),
        json!({"signal_id": "mine.changed", "plugin_id": "mine", "payload": {"id": 7}, "timestamp": "2026-01-15T12:00:00.000Z"})
    );
    let second = within(clients.recv(), "the second signal").await.unwrap();
    let audience = Audience::Authorized {
        users: vec!["u".into()],
        rule: "mine.read".into(),
    };
    assert_eq!(
        (&second.audience, second.signal.signal_id.as_str()),
        (&audience, "mine.private")
    );
    assert!(clients.try_recv().is_err());
    node.shutdown().await;
}
