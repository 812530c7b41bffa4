//! Rows as the store hands them out.

use crate::ids::AutomationId;
use plugin_api::{Actor, Doc, Text, Ts, values::rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whether firings start runs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// They do.
    #[default]
    Enabled,
    /// They do not; the definition may be a draft.
    Disabled,
}

impl Status {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Status::Enabled => "enabled",
            Status::Disabled => "disabled",
        }
    }
    pub(super) fn parse(text: &str) -> Self {
        if text == "enabled" {
            Status::Enabled
        } else {
            Status::Disabled
        }
    }
}

/// A row without its definition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Its id.
    pub id: AutomationId,
    /// 1–200 characters.
    pub name: String,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// 1–120 characters; none: ungrouped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Enabled or disabled.
    pub status: Status,
    /// `gitops`, or a migration's tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// +1 on every change of the row.
    pub version: i64,
    /// Number of its current definition.
    pub definition_version: i64,
    /// Event ids its triggers listen to, in order, without repetition.
    pub trigger_events: Vec<String>,
    /// When it was created.
    #[serde(with = "rfc3339")]
    pub created_at: Ts,
    /// When it was last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Ts,
}

/// A whole row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Automation {
    /// Everything but the definition.
    #[serde(flatten)]
    pub summary: Summary,
    /// The definition in normal form.
    pub definition: Value,
}
impl std::ops::Deref for Automation {
    type Target = Summary;
    fn deref(&self) -> &Summary {
        &self.summary
    }
}

/// What a dispatch index needs of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexRow {
    /// The automation.
    pub id: AutomationId,
    /// Enabled or disabled.
    pub status: Status,
    /// Number of its current definition.
    pub definition_version: i64,
    /// The definition.
    pub definition: Value,
    /// The generation of its last change.
    pub generation: i64,
}

/// A stored version of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Number.
    pub version: i64,
    /// The document.
    pub definition: Value,
    /// When it was written.
    pub created_at: Ts,
    /// By whom.
    pub actor: Actor,
}

/// A version without its document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VersionInfo {
    /// Number.
    pub version: i64,
    /// When it was written.
    #[serde(with = "rfc3339")]
    pub created_at: Ts,
    /// By whom.
    pub actor: Actor,
}

/// A group and how many automations are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupCount {
    /// The label.
    pub group: String,
    /// At least 1.
    pub count: i64,
}

plugin_api::row! {
    pub(super) struct SummaryRow {
        pub id: AutomationId,
        pub name: Text,
        pub description: Option<Text>,
        pub grp: Option<Text>,
        pub status: String,
        pub managed_by: Option<String>,
        pub version: i64,
        pub definition_version: i64,
        pub events: String,
        pub created_at: Ts,
        pub updated_at: Ts,
    }
}

impl From<SummaryRow> for Summary {
    fn from(r: SummaryRow) -> Self {
        Self {
            id: r.id,
            name: r.name.into_string(),
            description: r.description.map(Text::into_string),
            group: r.grp.map(Text::into_string),
            status: Status::parse(&r.status),
            managed_by: r.managed_by,
            version: r.version,
            definition_version: r.definition_version,
            trigger_events: r
                .events
                .lines()
                .filter(|l| !l.is_empty())
                .map(str::to_owned)
                .collect(),
            created_at: r.created_at,
            updated_at: r.updated_at,
        }
    }
}

impl plugin_api::db::FromRow for Summary {
    fn from_row(row: &plugin_api::db::Row) -> plugin_api::db::Result<Self> {
        SummaryRow::from_row(row).map(Self::from)
    }
}
impl plugin_api::db::FromRow for Automation {
    fn from_row(row: &plugin_api::db::Row) -> plugin_api::db::Result<Self> {
        Ok(Self {
            summary: Summary::from_row(row)?,
            definition: row.get::<Doc>("definition")?.0,
        })
    }
}
impl plugin_api::db::FromRow for IndexRow {
    fn from_row(row: &plugin_api::db::Row) -> plugin_api::db::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            status: Status::parse(&row.get::<String>("status")?),
            definition_version: row.get("definition_version")?,
            definition: row.get::<Doc>("definition")?.0,
            generation: row.get("generation")?,
        })
    }
}
impl plugin_api::db::FromRow for VersionInfo {
    fn from_row(row: &plugin_api::db::Row) -> plugin_api::db::Result<Self> {
        Ok(Self {
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            actor: actor(&row.get::<Doc>("actor")?),
        })
    }
}
impl plugin_api::db::FromRow for Version {
    fn from_row(row: &plugin_api::db::Row) -> plugin_api::db::Result<Self> {
        Ok(Self {
            version: row.get("version")?,
            definition: row.get::<Doc>("definition")?.0,
            created_at: row.get("created_at")?,
            actor: actor(&row.get::<Doc>("actor")?),
        })
    }
}
impl plugin_api::db::FromRow for GroupCount {
    fn from_row(row: &plugin_api::db::Row) -> plugin_api::db::Result<Self> {
        Ok(Self {
            group: row.get::<Text>("grp")?.into_string(),
            count: row.get("count")?,
        })
    }
}

fn actor(stored: &Doc) -> Actor {
    let (actor, whole) = Actor::from_stored(&stored.0);
    if !whole {
        tracing::warn!("a version's actor is malformed; it is shown as the system");
    }
    actor
}
