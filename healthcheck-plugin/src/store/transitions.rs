//! The history of system statuses (`healthcheck §8`): one row per change.

use crate::{evaluate::decide::Transition, status::Status};
use plugin_api::{Conn, Id, Text, Ts, db::Result};

plugin_api::row! {
    /// A system's newest row.
    #[derive(Clone, Debug)]
    pub struct Newest {
        /// The system.
        pub system_id: Text,
        /// Text of the [`Status`] entered.
        pub to_status: String,
        /// When.
        pub transitioned_at: Ts,
    }
}

plugin_api::row! {
    /// Changes of one system in a window.
    #[derive(Clone, Debug)]
    pub struct Count {
        /// The system.
        pub system_id: Text,
        /// Rows, those of systems seen for the first time left out.
        pub changes: i64,
    }
}

plugin_api::row! {
    /// When a system last ceased to be healthy.
    #[derive(Clone, Debug)]
    pub struct Left {
        /// The system.
        pub system_id: Text,
        /// The newest row out of healthy, else the first-seen row; none without rows.
        pub since: Option<Ts>,
    }
}

plugin_api::statements! {
    INSERT = "insert into health_check_state_transitions
        (id, system_id, configuration_id, from_status, to_status, transitioned_at)
        values ($1, $2, $3, $4, $5, $6)";
    NEWEST = {
        sqlite: "select t.system_id, t.to_status, t.transitioned_at
            from json_each($1) s join health_check_state_transitions t on t.id =
                (select x.id from health_check_state_transitions x where x.system_id = s.value
                 order by x.transitioned_at desc, x.id desc limit 1)",
        postgres: "select t.system_id, t.to_status, t.transitioned_at
            from unnest($1::text[]) s(id) join health_check_state_transitions t on t.id =
                (select x.id from health_check_state_transitions x where x.system_id = s.id
                 order by x.transitioned_at desc, x.id desc limit 1)",
    };
    COUNTS = {
        sqlite: "select system_id, count(*) as changes from health_check_state_transitions
            where transitioned_at >= $1 and transitioned_at <= $2 and from_status is not null
              and system_id in (select value from json_each($3))
            group by system_id",
        postgres: "select system_id, count(*) as changes from health_check_state_transitions
            where transitioned_at >= $1 and transitioned_at <= $2 and from_status is not null
              and system_id = any($3)
            group by system_id",
    };
    LEFT_HEALTHY = {
        sqlite: "select s.value as system_id, coalesce(
                (select max(x.transitioned_at) from health_check_state_transitions x
                 where x.system_id = s.value and x.from_status = 'healthy'),
                (select min(x.transitioned_at) from health_check_state_transitions x
                 where x.system_id = s.value and x.from_status is null)) as since
            from json_each($1) s",
        postgres: "select s.id as system_id, coalesce(
                (select max(x.transitioned_at) from health_check_state_transitions x
                 where x.system_id = s.id and x.from_status = 'healthy'),
                (select min(x.transitioned_at) from health_check_state_transitions x
                 where x.system_id = s.id and x.from_status is null)) as since
            from unnest($1::text[]) s(id)",
    };
    DELETE_SYSTEM = "delete from health_check_state_transitions where system_id = $1";
}

/// Adds a row.
pub async fn insert(
    mut at: Conn<'_>,
    id: Id,
    system_id: &str,
    configuration_id: Option<Id>,
    transition: Transition,
    now: Ts,
) -> Result<()> {
    at.sql(INSERT)
        .bind(id)
        .bind(Text::new(system_id))
        .bind(configuration_id)
        .bind(transition.from.map(|s| s.as_str().to_owned()))
        .bind(transition.to.as_str().to_owned())
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

/// The newest row of each system that has one.
pub async fn newest(mut at: Conn<'_>, system_ids: &[String]) -> Result<Vec<Newest>> {
    at.sql(NEWEST).texts(system_ids).all().await
}

/// The status a system's newest row says.
pub async fn recorded(at: Conn<'_>, system_id: &str) -> Result<Option<Status>> {
    let rows = newest(at, &[system_id.to_owned()]).await?;
    Ok(rows.first().and_then(|r| Status::parse(&r.to_status)))
}

/// Changes between two instants, both included, for systems that have any.
pub async fn counts(
    mut at: Conn<'_>,
    from: Ts,
    to: Ts,
    system_ids: &[String],
) -> Result<Vec<Count>> {
    at.sql(COUNTS)
        .bind(from)
        .bind(to)
        .texts(system_ids)
        .all()
        .await
}

/// When each system last left `healthy`.
pub async fn left_healthy(mut at: Conn<'_>, system_ids: &[String]) -> Result<Vec<Left>> {
    at.sql(LEFT_HEALTHY).texts(system_ids).all().await
}

/// Deletes the history of a system.
pub async fn delete_system(mut at: Conn<'_>, system_id: &str) -> Result<()> {
    at.sql(DELETE_SYSTEM)
        .bind(Text::new(system_id))
        .execute()
        .await?;
    Ok(())
}
