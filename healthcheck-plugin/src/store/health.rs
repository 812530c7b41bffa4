//! What the status of systems is computed from: per counted assignment its thresholds and the
//! statuses of its newest runs, in one query for any number of systems.

use crate::{
    evaluate::{
        StoredThresholds, Thresholds,
        decide::{Aggregate, aggregate, check_status},
    },
    status::Status,
};
use plugin_api::{Conn, Doc, Id, Text, Ts, db::Result};
use std::collections::HashMap;

plugin_api::row! {
    struct Row {
        system_id: Text,
        configuration_id: Id,
        state_thresholds: Option<Doc>,
        runs: String,
    }
}

plugin_api::row! {
    struct Moment {
        system_id: Text,
        configuration_id: Id,
        times: String,
    }
}

plugin_api::statements! {
    READ = {
        sqlite: "select a.system_id, a.configuration_id, a.state_thresholds, coalesce(
                (select string_agg(substr(r.status, 1, 1), '' order by r.timestamp desc, r.id desc)
                 from (select x.status, x.timestamp, x.id from health_check_runs x
                       where x.system_id = a.system_id and x.configuration_id = a.configuration_id
                       order by x.timestamp desc, x.id desc limit 100) r), '') as runs
            from system_health_checks a join health_check_configurations c on c.id = a.configuration_id
            where a.enabled and not c.paused and a.system_id in (select value from json_each($1))
            order by a.system_id, a.configuration_id",
        postgres: "select a.system_id, a.configuration_id, a.state_thresholds, coalesce(
                (select string_agg(substr(r.status, 1, 1), '' order by r.timestamp desc, r.id desc)
                 from (select x.status, x.timestamp, x.id from health_check_runs x
                       where x.system_id = a.system_id and x.configuration_id = a.configuration_id
                       order by x.timestamp desc, x.id desc limit 100) r), '') as runs
            from system_health_checks a join health_check_configurations c on c.id = a.configuration_id
            where a.enabled and not c.paused and a.system_id = any($1)
            order by a.system_id, a.configuration_id",
    };
    TIMES = {
        sqlite: "select a.system_id, a.configuration_id, coalesce(
                (select string_agg(cast(r.timestamp as text), ' ' order by r.timestamp desc, r.id desc)
                 from (select x.timestamp, x.id from health_check_runs x
                       where x.system_id = a.system_id and x.configuration_id = a.configuration_id
                       order by x.timestamp desc, x.id desc limit 100) r), '') as times
            from system_health_checks a where a.system_id in (select value from json_each($1))",
        postgres: "select a.system_id, a.configuration_id, coalesce(
                (select string_agg(cast(cast(extract(epoch from r.timestamp) * 1000 as bigint) as text), ' '
                        order by r.timestamp desc, r.id desc)
                 from (select x.timestamp, x.id from health_check_runs x
                       where x.system_id = a.system_id and x.configuration_id = a.configuration_id
                       order by x.timestamp desc, x.id desc limit 100) r), '') as times
            from system_health_checks a where a.system_id = any($1)",
    };
}

/// One counted check of a system with its newest runs.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The configuration.
    pub configuration_id: Id,
    /// Its thresholds.
    pub thresholds: Thresholds,
    /// Statuses of its newest runs, newest first.
    pub runs: Vec<Status>,
}

impl Counted {
    /// The check's status.
    pub fn status(&self) -> Status {
        check_status(&self.runs, &self.thresholds)
    }
}

/// The counted checks of each system: enabled assignments of configurations that are not paused
/// (`healthcheck §6.7`). Systems without any are absent.
pub async fn counted(
    mut at: Conn<'_>,
    system_ids: &[String],
) -> Result<HashMap<String, Vec<Counted>>> {
    let rows: Vec<Row> = at.sql(READ).texts(system_ids).all().await?;
    let mut systems: HashMap<String, Vec<Counted>> = HashMap::new();
    for row in rows {
        let thresholds = StoredThresholds::decode(
            row.state_thresholds.as_ref(),
            row.system_id.as_str(),
            &row.configuration_id.to_string(),
        );
        let runs = row
            .runs
            .chars()
            .map(|c| Status::from_letter(c).unwrap_or(Status::Unhealthy))
            .collect();
        systems
            .entry(row.system_id.into_string())
            .or_default()
            .push(Counted {
                configuration_id: row.configuration_id,
                thresholds,
                runs,
            });
    }
    Ok(systems)
}

/// When the newest runs of each assignment of some systems were, newest first: the instants of
/// [`Counted::runs`].
pub async fn times(
    mut at: Conn<'_>,
    system_ids: &[String],
) -> Result<HashMap<(String, Id), Vec<Ts>>> {
    let rows: Vec<Moment> = at.sql(TIMES).texts(system_ids).all().await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let instants = row.times.split(' ').filter_map(|t| t.parse().ok());
            let key = (row.system_id.into_string(), row.configuration_id);
            (key, instants.map(Ts::from_millis).collect())
        })
        .collect())
}

/// The aggregate over counted checks.
pub fn of(checks: &[Counted]) -> Option<Aggregate> {
    aggregate(checks.iter().map(Counted::status))
}
