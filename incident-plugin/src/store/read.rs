//! Reading incidents.

use super::sql;
use crate::model::{Incident, IncidentError, IncidentId, Severity, Status, Update, UpdateId};
use plugin_api::{Conn, Db, Text, Ts};
use std::collections::{BTreeSet, HashMap};

plugin_api::row! {
    struct IncidentRow {
        id: IncidentId,
        title: Text,
        description: Option<Text>,
        status: String,
        severity: String,
        suppress_notifications: bool,
        created_at: Ts,
        updated_at: Ts,
    }
}
plugin_api::row! {
    struct LinkRow {
        incident_id: IncidentId,
        system_id: Text,
    }
}
plugin_api::row! {
    struct UpdateRow {
        id: UpdateId,
        message: Text,
        status_change: Option<String>,
        created_at: Ts,
        created_by: Option<Text>,
    }
}

/// Which incidents a list holds.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Exactly this status.
    pub status: Option<Status>,
    /// Only those that are not resolved.
    pub open: bool,
    /// Only those of this system.
    pub system_id: Option<String>,
}

/// The incidents among `ids` that exist, with their systems: two queries.
pub async fn by_ids(mut at: Conn<'_>, ids: &[IncidentId]) -> Result<Vec<Incident>, IncidentError> {
    let uuids: Vec<_> = ids.iter().map(|i| i.uuid()).collect();
    let rows: Vec<IncidentRow> = at.sql(sql::BY_IDS).ids(&uuids).all().await?;
    with_systems(at, rows).await
}

async fn with_systems(
    mut at: Conn<'_>,
    rows: Vec<IncidentRow>,
) -> Result<Vec<Incident>, IncidentError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let uuids: Vec<_> = rows.iter().map(|r| r.id.uuid()).collect();
    let links: Vec<LinkRow> = at.sql(sql::SYSTEMS_OF).ids(&uuids).all().await?;
    let mut systems: HashMap<IncidentId, BTreeSet<String>> = HashMap::new();
    for link in links {
        systems
            .entry(link.incident_id)
            .or_default()
            .insert(link.system_id.into_string());
    }
    rows.into_iter()
        .map(|r| {
            let corrupt = |field, value: &str| IncidentError::Corrupt {
                id: r.id,
                field,
                value: value.to_owned(),
            };
            Ok(Incident {
                id: r.id,
                status: Status::parse(&r.status).ok_or_else(|| corrupt("status", &r.status))?,
                severity: Severity::parse(&r.severity)
                    .ok_or_else(|| corrupt("severity", &r.severity))?,
                title: r.title.into_string(),
                description: r.description.map(Text::into_string),
                system_ids: systems.remove(&r.id).unwrap_or_default(),
                suppress_notifications: r.suppress_notifications,
                created_at: r.created_at,
                updated_at: r.updated_at,
            })
        })
        .collect()
}

/// A page, newest first, after (creation time, id).
pub async fn page(
    db: &Db,
    filter: &ListFilter,
    after: Option<(Ts, IncidentId)>,
    limit: usize,
) -> Result<Vec<Incident>, IncidentError> {
    let (at, id) = after.unwrap_or((
        Ts::from_millis(253_402_300_799_999),
        IncidentId::from(plugin_api::uuid::Uuid::max()),
    ));
    let rows: Vec<IncidentRow> = db
        .sql(sql::PAGE)
        .bind(filter.status.map(|s| s.as_str().to_owned()))
        .bind(filter.open)
        .bind(filter.system_id.clone().map(Text::new))
        .bind(at)
        .bind(id)
        .bind(limit as i64)
        .all()
        .await?;
    with_systems(Conn::Db(db), rows).await
}

/// The timeline, oldest first.
pub async fn updates(db: &Db, id: IncidentId) -> Result<Vec<Update>, IncidentError> {
    let rows: Vec<UpdateRow> = db.sql(sql::UPDATES_OF).bind(id).all().await?;
    Ok(rows
        .into_iter()
        .map(|r| Update {
            id: r.id,
            message: r.message.into_string(),
            status_change: r.status_change.as_deref().and_then(Status::parse),
            created_at: r.created_at,
            created_by: r.created_by.map(Text::into_string),
        })
        .collect())
}
