//! Floor A: one event at a time, three commits.

use super::payload;
use crate::database::{Client, bind};
use anyhow::Result;
use plugin_api::{Clock, Doc, Id, SystemClock, Ts, db::Sql};
use std::sync::{Arc, LazyLock};

const EVENT: Sql = Sql {
    sqlite: "insert into floor_events (id, kind, entity_id, payload, created_at) values ($1, 'thing', $2, $3, $4)",
    postgres: "insert into floor_events (id, kind, entity_id, payload, created_at) values ($1, 'thing', $2, $3, $4)",
};
const START: Sql = Sql {
    sqlite: "begin immediate; delete from floor_events where id = $1;
        insert into floor_runs (id, status, payload, started_at) values ($2, 'running', $4, $5);
        insert into floor_steps (id, run_id, path, status, started_at) values ($3, $2, 'actions[0]', 'running', $5); commit",
    postgres: "with taken as (delete from floor_events where id = $1),
        run as (insert into floor_runs (id, status, payload, started_at) values ($2, 'running', $4, $5))
        insert into floor_steps (id, run_id, path, status, started_at) values ($3, $2, 'actions[0]', 'running', $5)",
};
const FINISH: Sql = Sql {
    sqlite:
        "begin immediate; update floor_steps set status = 'success', finished_at = $3 where id = $2;
        update floor_runs set status = 'success', finished_at = $3 where id = $1; commit",
    postgres:
        "with step as (update floor_steps set status = 'success', finished_at = $3 where id = $2)
        update floor_runs set status = 'success', finished_at = $3 where id = $1",
};

static CLOCK: LazyLock<Arc<SystemClock>> = LazyLock::new(SystemClock::new);

/// A fresh id, as the engine makes them.
pub(super) fn id() -> Id {
    Id(CLOCK.new_uuid())
}

/// Now, as the engine writes it.
pub(super) fn now() -> Ts {
    CLOCK.now()
}

/// One event from its arrival to the end of its run.
pub(super) async fn event(client: &mut Client) -> Result<u64> {
    let (event, run, step) = (id(), id(), id());
    client
        .run(EVENT, |args| {
            bind(args, event);
            bind(args, "t0".to_owned());
            bind(args, Doc(payload()));
            bind(args, now());
        })
        .await?;
    client
        .run(START, |args| {
            bind(args, event);
            bind(args, run);
            bind(args, step);
            bind(args, Doc(payload()));
            bind(args, now());
        })
        .await?;
    client
        .run(FINISH, |args| {
            bind(args, run);
            bind(args, step);
            bind(args, now());
        })
        .await?;
    Ok(1)
}
