//! TCP: can a connection be opened, and what does the other side say first?

use super::{CollectCx, Collected, CollectorDef, Session, Strategy, decode, millis, timeout_ms};
use crate::assertions::{Field, FieldKind};
use plugin_api::{Clock, clock::timeout, config::ConfigSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
};

const ID: &str = "healthcheck-tcp.tcp";
const BANNER: &str = "healthcheck-tcp.banner";
/// Bytes of a banner that are read.
const BANNER_LIMIT: usize = 4096;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name or address.
    #[schemars(length(min = 1))]
    host: String,
    #[schemars(range(min = 1))]
    port: u16,
    /// Limit of the connection, and of the whole run, in milliseconds.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100))]
    timeout: u64,
}

fn banner_timeout() -> u64 {
    5000
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BannerConfig {
    /// How long to wait for the other side to speak, in milliseconds.
    #[serde(default = "banner_timeout")]
    #[schemars(range(min = 100))]
    timeout: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Banner {
    #[serde(skip_serializing_if = "Option::is_none")]
    banner: Option<String>,
    has_banner: bool,
    read_time_ms: i64,
}

const FIELDS: &[Field] = &[
    Field::new("banner", FieldKind::String),
    Field::new("hasBanner", FieldKind::Boolean),
    Field::new("readTimeMs", FieldKind::Duration),
];

/// Strategy `tcp`.
pub struct Tcp;

#[async_trait::async_trait]
impl Strategy for Tcp {
    fn id(&self) -> &'static str {
        ID
    }
    fn display_name(&self) -> &'static str {
        "TCP"
    }
    fn description(&self) -> &'static str {
        "Opens a TCP connection and may read what the other side says first."
    }
    fn config(&self) -> ConfigSchema {
        ConfigSchema::of::<Config>()
    }
    fn collectors(&self) -> Vec<CollectorDef> {
        vec![CollectorDef {
            id: BANNER,
            display_name: "Banner",
            config: ConfigSchema::of::<BannerConfig>(),
            fields: FIELDS,
            allow_multiple: false,
            secret_keys: &[],
            check: super::nothing_more,
        }]
    }
    async fn connect(
        &self,
        config: &Value,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Session>, String> {
        let c: Config = decode(config)?;
        let limit = Duration::from_millis(c.timeout);
        let stream = timeout(
            clock.as_ref(),
            limit,
            TcpStream::connect((c.host.as_str(), c.port)),
        )
        .await
        .map_err(|_| format!("Connection timeout after {}ms", c.timeout))?
        .map_err(|e| format!("Connection failed: {e}"))?;
        Ok(Arc::new(Connection(Mutex::new(stream))))
    }
}

struct Connection(Mutex<TcpStream>);

#[async_trait::async_trait]
impl Session for Connection {
    async fn collect(&self, _collector: &str, config: &Value, cx: &CollectCx) -> Collected {
        let c: BannerConfig = match decode(config) {
            Ok(c) => c,
            Err(error) => return Collected::failed(error),
        };
        let started = cx.clock.monotonic();
        let mut buffer = vec![0u8; BANNER_LIMIT];
        let mut stream = self.0.lock().await;
        let limit = Duration::from_millis(c.timeout);
        let read = timeout(cx.clock.as_ref(), limit, stream.read(&mut buffer)).await;
        let read_time_ms = millis(cx.clock.monotonic().saturating_sub(started));
        let banner = match read {
            Ok(Ok(0)) | Err(_) => None,
            Ok(Ok(n)) => Some(String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned()),
            Ok(Err(e)) => return Collected::failed(format!("Reading failed: {e}")),
        };
        let result = Banner {
            has_banner: banner.is_some(),
            banner,
            read_time_ms,
        };
        Collected::of(&result, None)
    }

    async fn close(&self) {
        // A collector that was cancelled no longer holds the lock; the other side may be gone.
        let _ = self.0.lock().await.shutdown().await;
    }
}
