//! The same job rows without the queue: inserted and deleted by hand, a hundred at a time.

use crate::{
    database::{Client, Scratch, Target},
    load::{self, Rate},
    world::World,
};
use anyhow::Result;
use plugin_api::{Clock, Doc, SystemClock, Text, Ts, db::BatchRow};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Its name in rows.
pub const NAME: &str = "by hand";

const CLIENTS: usize = 4;
const BATCH: usize = 100;

plugin_api::batch_row! {
    struct Job { job_id: Text, data: Doc, at: Ts }
}

plugin_api::statements! {
    INSERT = {
        sqlite: "insert into queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at)
            select 'floor', 'floor', value->>'job_id', 1, value->'data', 0, 0, value->>'at', value->>'at', value->>'at' from json_each($1)",
        postgres: "insert into signalbox.queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at)
            select 'floor', 'floor', r.job_id, true, r.data, 0, 0, r.at, r.at, r.at from unnest($1::text[], $2::json[], $3::timestamptz[]) as r(job_id, data, at)",
    };
    DELETE = {
        sqlite: "delete from queue_jobs where queue = 'floor' and grp = 'floor' and attempt = 0 and named and job_id in (select value->>'job_id' from json_each($1))",
        postgres: "delete from signalbox.queue_jobs where queue = 'floor' and grp = 'floor' and attempt = 0 and named and job_id = any($1)",
    };
}

/// A database with the queue's tables and no queue.
pub struct Floor {
    scratch: Scratch,
    clients: Vec<Arc<Mutex<Client>>>,
    clock: Arc<SystemClock>,
}

impl Floor {
    /// Makes the tables.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn new(target: Target) -> Result<Self> {
        let scratch = Scratch::create(target).await?;
        World::boot(&scratch).await?.shutdown().await;
        let clients = scratch.clients(CLIENTS).await?.into_iter();
        let clients = clients.map(|c| Arc::new(Mutex::new(c))).collect();
        Ok(Self {
            scratch,
            clients,
            clock: SystemClock::new(),
        })
    }

    /// Jobs inserted and deleted.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rate(&self, time: Duration) -> Result<Rate> {
        let (clients, clock) = (self.clients.clone(), self.clock.clone());
        load::closed(CLIENTS, time, move |client, _| {
            let (client, clock) = (clients[client].clone(), clock.clone());
            async move {
                let client = &mut *client.lock().await;
                let jobs: Vec<Job> = (0..BATCH)
                    .map(|n| Job {
                        job_id: Text::new(clock.new_uuid().to_string()),
                        data: Doc(super::payload(n)),
                        at: clock.now(),
                    })
                    .collect();
                client.run(INSERT, |a| BatchRow::bind(&jobs, a)).await?;
                client
                    .run(DELETE, |a| BatchRow::bind(&ids(&jobs), a))
                    .await?;
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

plugin_api::batch_row! {
    struct JobId { job_id: Text }
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    let id = |job: &Job| JobId {
        job_id: job.job_id.clone(),
    };
    jobs.iter().map(id).collect()
}
