//! The same rows without the engine: what a change leaves behind until its run has ended, written by hand for a hundred
//! events at a time, into the engine's own tables and indexes.
//!
//! Four commits a batch, as the engine's way has four: the changes; their jobs; the runs; their ends.

use crate::{
    database::{Client, Scratch, Target},
    floor::payload,
    load::{self, Rate},
    world::{ONE_ACTION, World},
};
use anyhow::Result;
use automation_core::AutomationId;
use plugin_api::{
    Clock, Doc, Id, SystemClock, Ts,
    db::{BatchRow, Sql},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Its name in rows.
pub const NAME: &str = "same rows by hand";

const CLIENTS: usize = 4;
const BATCH: usize = 100;

plugin_api::batch_row! {
    /// One event with the ids of everything it leaves.
    struct Event {
        change: Id,
        thing: String,
        run: Id,
        step: Id,
        key: String,
        automation: AutomationId,
        payload: Doc,
        at: Ts,
    }
}

/// The row's columns as Postgres takes them.
macro_rules! rows {
    () => {
        "(select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::json[], $8::timestamptz[])
            as r(change, thing, run, step, key, automation, payload, at))"
    };
}

const CHANGES: Sql = Sql {
    sqlite: "begin immediate;
        insert into things (id, status, n) select value->>'thing', 'up', 1 from json_each($1) where true on conflict (id) do update set n = things.n + 1;
        insert into entity_transitions (change_id, kind, entity_id, transitioned_at, field, from_value, to_value) select value->>'change', 'thing', value->>'thing', value->>'at', 'n', '1', '2' from json_each($1);
        insert into entity_outbox (change_id, kind, entity_id, created_at, payload) select value->>'change', 'thing', value->>'thing', value->>'at', value->'payload' from json_each($1); commit",
    postgres: concat!(
        "with r as ", rows!(), ",
        things as (insert into plugin_bench.things as t (id, status, n) select thing, 'up', 1 from r order by thing on conflict (id) do update set n = t.n + 1),
        history as (insert into signalbox.entity_transitions (change_id, kind, entity_id, transitioned_at, field, from_value, to_value) select change, 'thing', thing, at, 'n', '1', '2' from r)
        insert into signalbox.entity_outbox (change_id, kind, entity_id, created_at, payload) select change, 'thing', thing, at, payload from r"
    ),
};
const JOBS: Sql = Sql {
    sqlite: "begin immediate;
        delete from entity_outbox where change_id in (select value->>'change' from json_each($1));
        insert into queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at) select 'floor', 'floor', value->>'key', 1, value->'payload', 0, 0, value->>'at', value->>'at', value->>'at' from json_each($1); commit",
    postgres: concat!(
        "with r as ", rows!(), ",
        gone as (delete from signalbox.entity_outbox o using r where o.kind = 'thing' and o.entity_id = r.thing and o.change_id = r.change)
        insert into signalbox.queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at) select 'floor', 'floor', key, true, payload, 0, 0, at, at, at from r"
    ),
};
const RUNS: Sql = Sql {
    sqlite: "begin immediate;
        delete from queue_jobs where queue = 'floor' and grp = 'floor' and attempt = 0 and named and job_id in (select value->>'key' from json_each($1));
        insert into automation_occurrences (key, automation_id, decision, run_id, decided_at) select value->>'key', value->>'automation', 'run_started', value->>'run', value->>'at' from json_each($1);
        insert into automation_runs (id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, actor, definition_version, dedup_key, started_at) select value->>'run', value->>'automation', 'bench_ticked', 'bench.ticked', value->'payload', value->>'thing', 'running', '{}', 1, value->>'key', value->>'at' from json_each($1);
        insert into automation_run_state (run_id, scope_snapshot, last_heartbeat_at, updated_at, lease_owner, lease_expires_at, lease_epoch) select value->>'run', '{}', value->>'at', value->>'at', 'floor', value->>'at', 1 from json_each($1);
        insert into automation_run_steps (id, run_id, action_path, action_kind, provider_action_id, status, attempts, started_at) select value->>'step', value->>'run', 'actions[0]', 'action', 'bench.call', 'running', 1, value->>'at' from json_each($1); commit",
    postgres: concat!(
        "with r as ", rows!(), ",
        gone as (delete from signalbox.queue_jobs where queue = 'floor' and grp = 'floor' and attempt = 0 and named and job_id = any($5)),
        ledger as (insert into signalbox.automation_occurrences (key, automation_id, decision, run_id, decided_at) select key, automation, 'run_started', run, at from r),
        runs as (insert into signalbox.automation_runs (id, automation_id, trigger_id, trigger_event_id, trigger_payload, context_key, status, actor, definition_version, dedup_key, started_at) select run, automation, 'bench_ticked', 'bench.ticked', payload, thing, 'running', '{}', 1, key, at from r),
        states as (insert into signalbox.automation_run_state (run_id, scope_snapshot, last_heartbeat_at, updated_at, lease_owner, lease_expires_at, lease_epoch) select run, '{}', at, at, 'floor', at, 1 from r)
        insert into signalbox.automation_run_steps (id, run_id, action_path, action_kind, provider_action_id, status, attempts, started_at) select step, run, 'actions[0]', 'action', 'bench.call', 'running', 1, at from r"
    ),
};
const ENDS: Sql = Sql {
    sqlite: "begin immediate;
        update automation_run_steps set status = 'success', finished_at = r.value->>'at' from json_each($1) r where automation_run_steps.id = r.value->>'step';
        update automation_runs set status = 'success', finished_at = r.value->>'at' from json_each($1) r where automation_runs.id = r.value->>'run';
        delete from automation_run_state where run_id in (select value->>'run' from json_each($1)); commit",
    postgres: concat!(
        "with r as ", rows!(), ",
        steps as (update signalbox.automation_run_steps s set status = 'success', finished_at = r.at from r where s.id = r.step),
        states as (delete from signalbox.automation_run_state where run_id = any($3))
        update signalbox.automation_runs s set status = 'success', finished_at = r.at from r where s.id = r.run"
    ),
};

/// A database with the engine's tables and no engine.
pub struct Floor {
    scratch: Scratch,
    clients: Vec<Arc<Mutex<Client>>>,
    automation: AutomationId,
    clock: Arc<SystemClock>,
}

impl Floor {
    /// Makes the tables, and an automation for the runs to belong to.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn new(target: Target) -> Result<Self> {
        let scratch = Scratch::create(target).await?;
        let world = World::boot(&scratch).await?;
        let automation = world.automation(ONE_ACTION).await?;
        world.shutdown().await;
        let clients = scratch.clients(CLIENTS).await?.into_iter();
        let clients = clients.map(|c| Arc::new(Mutex::new(c))).collect();
        Ok(Self {
            scratch,
            clients,
            automation,
            clock: SystemClock::new(),
        })
    }

    /// Events from their change to the end of their run.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rate(&self, time: Duration) -> Result<Rate> {
        let clients = self.clients.clone();
        let (automation, clock) = (self.automation, self.clock.clone());
        load::closed(CLIENTS, time, move |client, _| {
            let (own, clock) = (clients[client].clone(), clock.clone());
            async move {
                let rows = events(client, automation, &clock);
                let own = &mut *own.lock().await;
                for sql in [CHANGES, JOBS, RUNS, ENDS] {
                    own.run(sql, |args| BatchRow::bind(&rows, args)).await?;
                }
                Ok(BATCH as u64)
            }
        })
        .await
    }

    /// Removes the database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn discard(self) -> Result<()> {
        drop(self.clients);
        self.scratch.discard().await
    }
}

/// A batch of one client, about things that no other client writes.
fn events(client: usize, automation: AutomationId, clock: &SystemClock) -> Vec<Event> {
    let at = clock.now();
    let id = || Id(clock.new_uuid());
    (0..BATCH)
        .map(|n| {
            let change = id();
            Event {
                change,
                thing: format!("c{client}-{n}"),
                run: id(),
                step: id(),
                key: format!("{automation}|bench_ticked|{change}"),
                automation,
                payload: Doc(payload()),
                at,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_rows_fit_the_engines_tables() {
        let mut targets = vec![Target::Sqlite];
        if std::env::var(crate::database::POSTGRES_VARIABLE).is_ok() {
            targets.push(Target::Postgres);
        }
        for target in targets {
            let floor = Floor::new(target).await.unwrap();
            let rate = floor.rate(Duration::from_millis(1)).await.unwrap();
            assert!(rate.done >= BATCH as u64);
            let world = World::boot(&floor.scratch).await.unwrap();
            world.settle().await.unwrap();
            world.shutdown().await;
            floor.discard().await.unwrap();
        }
    }
}
