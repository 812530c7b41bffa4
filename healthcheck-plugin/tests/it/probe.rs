//! What the tests check: a web service that says what it is told to, and a strategy whose collectors
//! hang, panic and tell of their closing.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use healthcheck_plugin::{
    assertions::{Field, FieldKind},
    executor::SecretSource,
    strategies::{CollectCx, Collected, CollectorDef, Session, Strategy},
};
use plugin_api::{
    Clock, PluginId, Services,
    config::ConfigSchema,
    secrets::{SECRETS, SecretError, SecretResolver},
    service::{AnyService, ServiceError, ServiceLookup},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Starts a service: `/status/<code>`, `/json`, and `/echo`, which repeats the header `x-token`.
/// Answers its base address.
pub async fn web_service() -> String {
    let app = Router::new()
        .route(
            "/status/{code}",
            get(|Path(code): Path<u16>| async move {
                (StatusCode::from_u16(code).expect("a code"), "body text")
            }),
        )
        .route("/json", get(|| async { r#"{"status":"ok"}"# }))
        .route(
            "/echo",
            get(|headers: HeaderMap| async move {
                let token = headers.get("x-token").and_then(|v| v.to_str().ok());
                (StatusCode::OK, token.unwrap_or("").to_owned())
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    plugin_api::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// A port nobody listens on.
pub async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    listener.local_addr().expect("an address").port()
}

/// What sessions of [`Odd`] went through.
#[derive(Default)]
pub struct Seen {
    /// Sessions closed.
    pub closed: AtomicUsize,
    /// True while a collector hangs.
    pub hanging: AtomicBool,
}

/// A strategy whose collectors are named for what they do: `fine`, `panic`, `hang`.
pub struct Odd(pub Arc<Seen>);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct OddConfig {
    timeout: u64,
}
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

const FIELDS: &[Field] = &[Field::new("n", FieldKind::Number)];

#[async_trait::async_trait]
impl Strategy for Odd {
    fn id(&self) -> &'static str {
        "healthcheck-odd.odd"
    }
    fn display_name(&self) -> &'static str {
        "Odd"
    }
    fn description(&self) -> &'static str {
        "Misbehaves."
    }
    fn config(&self) -> ConfigSchema {
        ConfigSchema::of::<OddConfig>()
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        [
            "healthcheck-odd.fine",
            "healthcheck-odd.panic",
            "healthcheck-odd.hang",
        ]
        .map(|id| CollectorDef {
            id,
            display_name: "Odd",
            config: ConfigSchema::of::<Nothing>(),
            fields: FIELDS,
            allow_multiple: true,
            secret_keys: &[],
            check: |_| Vec::new(),
        })
        .into()
    }
    async fn connect(
        &self,
        _config: &Value,
        _clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        Ok(Arc::new(OddSession(self.0.clone())))
    }
}

struct OddSession(Arc<Seen>);

struct Hanging<'a>(&'a AtomicBool);
impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Session for OddSession {
    async fn collect(&self, collector: &str, _config: &Value, _cx: &CollectCx) -> Collected {
        match collector.rsplit('.').next() {
            Some("fine") => Collected::of(&json!({ "n": 7 }), None),
            Some("panic") => panic!("a collector of a test panics"),
            _ => {
                self.0.hanging.store(true, Ordering::SeqCst);
                let _here = Hanging(&self.0.hanging);
                std::future::pending().await
            }
        }
    }
    async fn close(&self) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

struct Lookup(Option<BTreeMap<String, String>>);

impl ServiceLookup for Lookup {
    fn lookup(&self, service: &'static str, by: &PluginId) -> Result<AnyService, ServiceError> {
        match &self.0 {
            Some(values) if service == SECRETS.id => {
                let resolver: Arc<dyn SecretResolver> = Arc::new(Vault(values.clone()));
                Ok(AnyService::new(resolver))
            }
            _ => Err(ServiceError::Unknown {
                service,
                consumer: by.clone(),
            }),
        }
    }
}

/// A secrets platform that knows these.
pub struct Vault(pub BTreeMap<String, String>);

#[async_trait::async_trait]
impl SecretResolver for Vault {
    async fn resolve(
        &self,
        names: &[String],
        _run_id: Option<uuid::Uuid>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        names
            .iter()
            .map(|n| match self.0.get(n) {
                Some(v) => Ok((n.clone(), v.clone())),
                None => Err(SecretError::Missing(n.clone())),
            })
            .collect()
    }
}

/// No secrets platform.
pub fn no_secrets() -> SecretSource {
    source(None)
}

/// A platform with one secret.
pub fn secret(name: &str, value: &str) -> SecretSource {
    source(Some([(name.to_owned(), value.to_owned())].into()))
}

fn source(values: Option<BTreeMap<String, String>>) -> SecretSource {
    SecretSource::new(Services::new(
        Arc::new(Lookup(values)),
        PluginId::new("healthcheck"),
    ))
}

/// A strategy whose stored configs have had other keys: `addr` became `address`, and `password` of its
/// collector `login` became `token`. The configs of its collector `lost` cannot be read any more.
pub struct Renamed;

fn rename(from: &'static str, to: &'static str) -> ConfigSchema {
    ConfigSchema::of::<Nothing>().migrated("a key was renamed", move |mut config| {
        if let Some(value) = config.as_object_mut().and_then(|c| c.remove(from)) {
            config[to] = value;
        }
        Ok(config)
    })
}

const ECHOED: &[Field] = &[Field::new("text", FieldKind::String)];

#[async_trait::async_trait]
impl Strategy for Renamed {
    fn id(&self) -> &'static str {
        "healthcheck-renamed.renamed"
    }
    fn display_name(&self) -> &'static str {
        "Renamed"
    }
    fn description(&self) -> &'static str {
        "Has had other keys."
    }
    fn config(&self) -> ConfigSchema {
        rename("addr", "address")
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        let lost = ConfigSchema::of::<Nothing>().migrated("a key was lost", |_| Err("gone".into()));
        [
            ("healthcheck-renamed.login", rename("password", "token")),
            ("healthcheck-renamed.lost", lost),
        ]
        .map(|(id, config)| CollectorDef {
            id,
            display_name: "Renamed",
            config,
            fields: ECHOED,
            allow_multiple: true,
            secret_keys: &["token"],
            check: |_| Vec::new(),
        })
        .into()
    }
    async fn connect(
        &self,
        config: &Value,
        _clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        match config["address"].as_str() {
            Some(_) => Ok(Arc::new(Echo)),
            None => Err("there is no address".into()),
        }
    }
}

struct Echo;

#[async_trait::async_trait]
impl Session for Echo {
    async fn collect(&self, _collector: &str, config: &Value, _cx: &CollectCx) -> Collected {
        Collected::of(&json!({ "text": config["token"] }), None)
    }
}
