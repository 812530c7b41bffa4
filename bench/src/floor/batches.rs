//! Floor B: the same rows for many events at a time, three commits a batch.

use super::{
    payload,
    singles::{id, now},
};
use crate::database::Client;
use anyhow::Result;
use plugin_api::{
    Doc, Id, Ts,
    db::{BatchRow, Sql},
};

plugin_api::batch_row! {
    struct Event { id: Id, entity_id: String, payload: Doc, at: Ts }
}
plugin_api::batch_row! {
    struct Start { event: Id, run: Id, step: Id, payload: Doc, at: Ts }
}
plugin_api::batch_row! {
    struct Finish { run: Id, step: Id, at: Ts }
}

const EVENTS: Sql = Sql {
    sqlite: "insert into floor_events (id, kind, entity_id, payload, created_at)
        select value->>'id', 'thing', value->>'entity_id', value->'payload', value->>'at' from json_each($1)",
    postgres: "insert into floor_events (id, kind, entity_id, payload, created_at)
        select r.id, 'thing', r.entity_id, r.payload, r.at from unnest($1::uuid[], $2::text[], $3::json[], $4::timestamptz[]) as r(id, entity_id, payload, at)",
};
const START: Sql = Sql {
    sqlite: "begin immediate; delete from floor_events where id in (select value->>'event' from json_each($1));
        insert into floor_runs (id, status, payload, started_at) select value->>'run', 'running', value->'payload', value->>'at' from json_each($1);
        insert into floor_steps (id, run_id, path, status, started_at) select value->>'step', value->>'run', 'actions[0]', 'running', value->>'at' from json_each($1); commit",
    postgres: "with r as (select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::json[], $5::timestamptz[]) as r(event, run, step, payload, at)),
        taken as (delete from floor_events where id = any($1)),
        runs as (insert into floor_runs (id, status, payload, started_at) select run, 'running', payload, at from r)
        insert into floor_steps (id, run_id, path, status, started_at) select step, run, 'actions[0]', 'running', at from r",
};
const FINISH: Sql = Sql {
    sqlite: "begin immediate; update floor_steps set status = 'success', finished_at = r.value->>'at' from json_each($1) r where floor_steps.id = r.value->>'step';
        update floor_runs set status = 'success', finished_at = r.value->>'at' from json_each($1) r where floor_runs.id = r.value->>'run'; commit",
    postgres: "with steps as (update floor_steps s set status = 'success', finished_at = r.at from unnest($2::uuid[], $3::timestamptz[]) as r(step, at) where s.id = r.step)
        update floor_runs s set status = 'success', finished_at = r.at from unnest($1::uuid[], $3::timestamptz[]) as r(run, at) where s.id = r.run",
};

/// So many events from their arrival to the end of their runs.
pub(super) async fn events(client: &mut Client, many: u64) -> Result<u64> {
    let at = now();
    let events: Vec<Event> = (0..many)
        .map(|n| Event {
            id: id(),
            entity_id: format!("t{n}"),
            payload: Doc(payload()),
            at,
        })
        .collect();
    let starts: Vec<Start> = events
        .iter()
        .map(|e| Start {
            event: e.id,
            run: id(),
            step: id(),
            payload: e.payload.clone(),
            at,
        })
        .collect();
    let ends: Vec<Finish> = starts
        .iter()
        .map(|s| Finish {
            run: s.run,
            step: s.step,
            at,
        })
        .collect();
    client.run(EVENTS, |a| BatchRow::bind(&events, a)).await?;
    client.run(START, |a| BatchRow::bind(&starts, a)).await?;
    client.run(FINISH, |a| BatchRow::bind(&ends, a)).await?;
    Ok(many)
}
