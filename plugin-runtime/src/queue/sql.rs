//! The statements of the SQL queue and the rows they take and give.
//!
//! All are set-based: one statement serves one job or five hundred. `(seq, attempt)` is the fence of
//! a started job; every statement that ends, renews or repeats one names it in its `where`.

use plugin_api::{Doc, Text, Ts, batch_row, row, statements};

batch_row! {
    /// A job to insert; it fans out to every group of its queue.
    pub(super) struct Insert {
        pub job_id: Text,
        pub named: bool,
        pub data: Doc,
        pub priority: i32,
        pub run_at: Ts,
    }
}
batch_row! {
    /// A tick of a recurring job to insert.
    pub(super) struct Tick {
        pub job_id: Text,
        pub recurring: Text,
        pub data: Doc,
        pub priority: i32,
        pub due_at: Ts,
        pub skip_overlap: bool,
    }
}
batch_row! {
    /// The fence of a started job.
    pub(super) struct Fence {
        pub seq: i64,
        pub attempt: i32,
    }
}
batch_row! {
    /// A started job that runs again later.
    pub(super) struct Again {
        pub seq: i64,
        pub attempt: i32,
        pub run_at: Ts,
        pub deferred: i32,
    }
}
batch_row! {
    /// A started job that failed for good.
    pub(super) struct Dead {
        pub seq: i64,
        pub attempt: i32,
        pub cause: Text,
    }
}
batch_row! {
    /// Moves a recurring job from the instant somebody saw to the next one of the schedule it saw.
    pub(super) struct Advance {
        pub job_id: Text,
        pub expected: Ts,
        pub interval_ms: Option<i64>,
        pub cron: Option<String>,
        pub next_at: Ts,
    }
}
batch_row! {
    /// A group consumed by this process.
    pub(super) struct Consumed {
        pub queue: Text,
        pub grp: Text,
    }
}
row! {
    /// A job that was claimed.
    #[derive(Clone)]
    pub(super) struct Claimed {
        pub seq: i64,
        pub attempt: i32,
        pub defers: i32,
        pub priority: i32,
        pub job_id: Text,
        pub data: Doc,
        pub enqueued_at: Ts,
        pub due_at: Ts,
        pub recurring: Option<Text>,
    }
}
row! {
    /// What a loop that found no job has to wait for.
    pub(super) struct Outlook {
        pub due: Option<Ts>,
        pub tick: Option<Ts>,
        pub ready: bool,
        pub orphans: bool,
    }
}
row! {
    /// A recurring job as stored.
    #[derive(Clone)]
    pub(super) struct Stored {
        pub job_id: Text,
        pub data: Doc,
        pub interval_ms: Option<i64>,
        pub cron: Option<String>,
        pub start_delay_ms: Option<i64>,
        pub priority: i32,
        pub skip_overlap: bool,
        pub next_at: Ts,
    }
}
row! {
    /// Counters of a queue.
    pub(super) struct Counts {
        pub pending: i64,
        pub processing: i64,
        pub failed: i64,
        pub consumer_groups: i64,
    }
}
row! {
    /// Work of one queue that waits.
    pub(super) struct Depth {
        pub queue: Text,
        pub waiting: i64,
        pub oldest: Ts,
    }
}
row! {
    /// A fence that held.
    pub(super) struct Held {
        pub seq: i64,
    }
}

statements! {
    /// $1 queue, $2 now, $3 keep jobs of a queue without any group; rows [`Insert`]. Inserted in the
    /// order of their ids, so that two enqueues never wait for each other in a circle; numbered in
    /// the caller's order, which is the order they are handled in.
    pub(super) ENQUEUE = {
        sqlite: "insert into queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at)
            select $1, coalesce(g.grp, ''), r.value->>'job_id', r.value->>'named', r.value->'data', r.value->>'priority',
                   g.grp is not null and r.value->>'run_at' > $2, r.value->>'run_at', r.value->>'run_at', $2
            from jsonb_each($4) r left join queue_groups g on g.queue = $1
            where $3 or g.grp is not null order by r.key, g.grp
            on conflict do nothing",
        postgres: "insert into signalbox.queue_jobs (seq, queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at)
            select s.seq, $1, s.grp, s.job_id, s.named, s.data, s.priority,
                   case when s.grp <> '' and s.run_at > $2 then 1 else 0 end, s.run_at, s.run_at, $2
            from (select nextval('signalbox.queue_jobs_seq_seq') as seq, coalesce(g.grp, '') as grp, r.*
                  from unnest($4::text[], $5::boolean[], $6::json[], $7::integer[], $8::timestamptz[])
                       with ordinality as r(job_id, named, data, priority, run_at, ord)
                  left join signalbox.queue_groups g on g.queue = $1
                  where $3::boolean or g.grp is not null order by r.ord, g.grp) s
            order by s.job_id, s.grp
            on conflict do nothing",
    };
    /// $1 queue, $2 now; rows [`Tick`]. One that must not overlap is left out of a group that still has
    /// its predecessor.
    pub(super) ENQUEUE_TICKS = {
        sqlite: "insert into queue_jobs (queue, grp, job_id, named, recurring, data, priority, state, run_at, due_at, enqueued_at)
            select $1, g.grp, r.value->>'job_id', 1, r.value->>'recurring', r.value->'data', r.value->>'priority',
                   0, r.value->>'due_at', r.value->>'due_at', $2
            from jsonb_each($3) r join queue_groups g on g.queue = $1
            where not (r.value->>'skip_overlap' and exists
                (select 1 from queue_jobs p where p.queue = $1 and p.recurring = r.value->>'recurring' and p.grp = g.grp))
            order by r.key, g.grp
            on conflict do nothing",
        postgres: "insert into signalbox.queue_jobs (queue, grp, job_id, named, recurring, data, priority, state, run_at, due_at, enqueued_at)
            select $1, g.grp, r.job_id, true, r.recurring, r.data, r.priority, 0, r.due_at, r.due_at, $2
            from unnest($3::text[], $4::text[], $5::json[], $6::integer[], $7::timestamptz[], $8::boolean[])
                 as r(job_id, recurring, data, priority, due_at, skip_overlap)
            join signalbox.queue_groups g on g.queue = $1
            where not (r.skip_overlap and exists
                (select 1 from signalbox.queue_jobs p where p.queue = $1 and p.recurring = r.recurring and p.grp = g.grp))
            order by r.job_id, g.grp
            on conflict do nothing",
    };
    /// $1 queue, $2 group, $3 now.
    pub(crate) REGISTER_GROUP = "insert into signalbox.queue_groups (queue, grp, seen_at) values ($1, $2, $3)
        on conflict (queue, grp) do update set seen_at = excluded.seen_at";

    /// $1 queue, $2 group, $3 at most, $4 lease until. On Postgres also rows [`Fence`], jobs that are
    /// handled: acknowledging and claiming cost one commit together.
    pub(super) CLAIM = {
        sqlite: "update queue_jobs set state = 2, attempt = attempt + 1, run_at = $4
            where seq in (select seq from queue_jobs where queue = $1 and grp = $2 and state = 0
                          order by priority desc, seq limit $3)
            returning seq, attempt, defers, priority, job_id, data, enqueued_at, due_at, recurring",
        postgres: "with done as (delete from signalbox.queue_jobs j using unnest($5::bigint[], $6::integer[]) as r(seq, attempt)
                          where j.seq = r.seq and j.attempt = r.attempt and j.state = 2)
            update signalbox.queue_jobs set state = 2, attempt = attempt + 1, run_at = $4
            where seq = any(array(select seq from signalbox.queue_jobs where queue = $1 and grp = $2 and state = 0
                                  order by priority desc, seq limit $3 for update skip locked))
            returning seq, attempt, defers, priority, job_id, data, enqueued_at, due_at, recurring",
    };
    /// $1 queue, $2 group, $3 at most. The batch form: who takes the rows deletes them, and a
    /// rollback brings them back. An enqueue of the same job id meanwhile waits for the outcome.
    pub(super) TAKE = {
        sqlite: "delete from queue_jobs
            where seq in (select seq from queue_jobs where queue = $1 and grp = $2 and state = 0
                          order by priority desc, seq limit $3)
            returning seq, attempt + 1 as attempt, defers, priority, job_id, data, enqueued_at, due_at, recurring",
        postgres: "delete from signalbox.queue_jobs
            where seq = any(array(select seq from signalbox.queue_jobs where queue = $1 and grp = $2 and state = 0
                                  order by priority desc, seq limit $3 for update skip locked))
            returning seq, attempt + 1 as attempt, defers, priority, job_id, data, enqueued_at, due_at, recurring",
    };
    /// Rows [`Fence`] with the attempt about to be made: the jobs of a batch that was split.
    pub(super) TAKE_THESE = {
        sqlite: "delete from queue_jobs
            where state = 0 and seq in (select value->>'seq' from jsonb_each($1))
              and (seq, attempt + 1) in (select value->>'seq', value->>'attempt' from jsonb_each($1))
            returning seq, attempt + 1 as attempt, defers, priority, job_id, data, enqueued_at, due_at, recurring",
        postgres: "delete from signalbox.queue_jobs
            where seq = any(array(select j.seq from unnest($1::bigint[], $2::integer[]) as r(seq, attempt)
                                  join signalbox.queue_jobs j on j.seq = r.seq
                                  where j.state = 0 and j.attempt + 1 = r.attempt
                                  order by j.seq for update of j skip locked))
            returning seq, attempt + 1 as attempt, defers, priority, job_id, data, enqueued_at, due_at, recurring",
    };
    /// Rows [`Fence`] with the attempt about to be made: marks jobs started that a failed batch gave
    /// back, so that the statements for started jobs apply to them.
    pub(super) START_THESE = {
        sqlite: "update queue_jobs set state = 2, attempt = attempt + 1
            where state = 0 and seq in (select value->>'seq' from jsonb_each($1))
              and (seq, attempt + 1) in (select value->>'seq', value->>'attempt' from jsonb_each($1))",
        postgres: "update signalbox.queue_jobs j set state = 2, attempt = j.attempt + 1
            from unnest($1::bigint[], $2::integer[]) as r(seq, attempt)
            where j.seq = r.seq and j.state = 0 and j.attempt + 1 = r.attempt",
    };
    /// $1 queue, $2 group; rows [`Returned`].
    pub(super) GIVE_BACK = {
        sqlite: "insert into queue_jobs (seq, queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at, attempt, defers, recurring)
            select r.value->>'seq', $1, $2, r.value->>'job_id', 0, r.value->'data', r.value->>'priority', 1,
                   r.value->>'run_at', r.value->>'due_at', r.value->>'enqueued_at', r.value->>'attempt', r.value->>'defers', r.value->>'recurring'
            from jsonb_each($3) r",
        postgres: "insert into signalbox.queue_jobs (seq, queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at, attempt, defers, recurring)
            select r.seq, $1, $2, r.job_id, false, r.data, r.priority, 1, r.run_at, r.due_at, r.enqueued_at, r.attempt, r.defers, r.recurring
            from unnest($3::bigint[], $4::text[], $5::json[], $6::integer[], $7::timestamptz[], $8::timestamptz[],
                        $9::timestamptz[], $10::integer[], $11::integer[], $12::text[])
                 as r(seq, job_id, data, priority, run_at, due_at, enqueued_at, attempt, defers, recurring)",
    };
    /// $1 queue, $2 group, $3 now; rows [`Buried`].
    pub(super) BURY_TAKEN = {
        sqlite: "insert into queue_dead (seq, failed_at, enqueued_at, attempts, queue, grp, job_id, cause, data)
            select r.value->>'seq', $3, r.value->>'enqueued_at', r.value->>'attempts', $1, $2,
                   r.value->>'job_id', r.value->>'cause', r.value->'data'
            from jsonb_each($4) r",
        postgres: "insert into signalbox.queue_dead (seq, failed_at, enqueued_at, attempts, queue, grp, job_id, cause, data)
            select r.seq, $3, r.enqueued_at, r.attempts, $1, $2, r.job_id, r.cause, r.data
            from unnest($4::bigint[], $5::timestamptz[], $6::integer[], $7::text[], $8::text[], $9::json[])
                 as r(seq, enqueued_at, attempts, job_id, cause, data)",
    };

    /// Rows [`Fence`]: the jobs are handled.
    pub(super) COMPLETE = {
        sqlite: "delete from queue_jobs where state = 2 and seq in (select value->>'seq' from jsonb_each($1))
            and (seq, attempt) in (select value->>'seq', value->>'attempt' from jsonb_each($1))",
        postgres: "delete from signalbox.queue_jobs j using unnest($1::bigint[], $2::integer[]) as r(seq, attempt)
            where j.seq = r.seq and j.attempt = r.attempt and j.state = 2",
    };
    /// $1 lease until; rows [`Fence`]. Answers the leases still held.
    pub(super) RENEW = {
        sqlite: "update queue_jobs set run_at = $1 where state = 2 and seq in (select value->>'seq' from jsonb_each($2))
            and (seq, attempt) in (select value->>'seq', value->>'attempt' from jsonb_each($2)) returning seq",
        postgres: "update signalbox.queue_jobs j set run_at = $1 from unnest($2::bigint[], $3::integer[]) as r(seq, attempt)
            where j.seq = r.seq and j.attempt = r.attempt and j.state = 2 returning j.seq",
    };
    /// Rows [`Again`].
    pub(super) AGAIN = {
        sqlite: "update queue_jobs set state = 1, run_at = r.run_at, defers = defers + r.deferred
            from (select value->>'seq' seq, value->>'attempt' attempt, value->>'run_at' run_at, value->>'deferred' deferred
                  from jsonb_each($1)) r
            where queue_jobs.seq = r.seq and queue_jobs.attempt = r.attempt and queue_jobs.state = 2",
        postgres: "update signalbox.queue_jobs j set state = 1, run_at = r.run_at, defers = j.defers + r.deferred
            from unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::integer[]) as r(seq, attempt, run_at, deferred)
            where j.seq = r.seq and j.attempt = r.attempt and j.state = 2",
    };
    /// $1 now; rows [`Dead`]. Followed in its transaction by [`COMPLETE`] of the same jobs.
    pub(super) BURY = {
        sqlite: "insert into queue_dead (seq, failed_at, enqueued_at, attempts, queue, grp, job_id, cause, data)
            select j.seq, $1, j.enqueued_at, j.attempt - j.defers, j.queue, j.grp, j.job_id, r.value->>'cause', j.data
            from jsonb_each($2) r join queue_jobs j on j.seq = r.value->>'seq'
            where j.attempt = r.value->>'attempt' and j.state = 2",
        postgres: "insert into signalbox.queue_dead (seq, failed_at, enqueued_at, attempts, queue, grp, job_id, cause, data)
            select j.seq, $1, j.enqueued_at, j.attempt - j.defers, j.queue, j.grp, j.job_id, r.cause, j.data
            from unnest($2::bigint[], $3::integer[], $4::text[]) as r(seq, attempt, cause)
            join signalbox.queue_jobs j on j.seq = r.seq
            where j.attempt = r.attempt and j.state = 2 for update of j",
    };

    /// $1 queue, $2 group, $3 now: delays that are over and leases that expired.
    pub(super) PROMOTE = {
        sqlite: "update queue_jobs set state = 0 where queue = $1 and grp = $2 and state <> 0 and run_at <= $3",
        postgres: "update signalbox.queue_jobs set state = 0
            where seq = any(array(select seq from signalbox.queue_jobs
                                  where queue = $1 and grp = $2 and state <> 0 and run_at <= $3
                                  for update skip locked))",
    };
    /// $1 queue, $2 group.
    pub(super) OUTLOOK = "select
        (select min(run_at) from signalbox.queue_jobs where queue = $1 and grp = $2 and state <> 0) as due,
        (select min(next_at) from signalbox.queue_recurring where queue = $1) as tick,
        exists (select 1 from signalbox.queue_jobs where queue = $1 and grp = $2 and state = 0) as ready,
        exists (select 1 from signalbox.queue_jobs where queue = $1 and grp = '' and state = 0) as orphans";
    /// $1 queue, $2 now: jobs that waited for a group go to the groups there are now. On SQLite
    /// [`FORGET_ORPHANS`] follows in the same transaction.
    pub(super) ADOPT = {
        sqlite: "insert into queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at)
            select o.queue, g.grp, o.job_id, o.named, o.data, o.priority, o.run_at > $2, o.run_at, o.due_at, o.enqueued_at
            from queue_jobs o join queue_groups g on g.queue = o.queue
            where o.queue = $1 and o.grp = '' and o.state = 0 order by o.seq, g.grp
            on conflict do nothing",
        postgres: "with o as (delete from signalbox.queue_jobs where queue = $1 and grp = '' and state = 0
                       and exists (select 1 from signalbox.queue_groups where queue = $1) returning *)
            insert into signalbox.queue_jobs (queue, grp, job_id, named, data, priority, state, run_at, due_at, enqueued_at)
            select o.queue, g.grp, o.job_id, o.named, o.data, o.priority, case when o.run_at > $2 then 1 else 0 end,
                   o.run_at, o.due_at, o.enqueued_at
            from o join signalbox.queue_groups g on g.queue = o.queue order by o.seq, g.grp
            on conflict do nothing",
    };
    /// $1 queue. SQLite only.
    pub(super) FORGET_ORPHANS = "delete from signalbox.queue_jobs where queue = $1 and grp = '' and state = 0
        and exists (select 1 from signalbox.queue_groups where queue = $1)";

    /// $1 queue.
    pub(super) STATS = "select
        (select count(*) from signalbox.queue_jobs where queue = $1 and state = 0)
          + (select count(*) from signalbox.queue_jobs where queue = $1 and state <> 0 and state = 1) as pending,
        (select count(*) from signalbox.queue_jobs where queue = $1 and state <> 0 and state = 2) as processing,
        (select count(*) from signalbox.queue_dead where queue = $1) as failed,
        (select count(*) from signalbox.queue_groups where queue = $1) as consumer_groups";
    /// $1 now. Reads only the index of ready jobs and their rows: what is due and not started. A job
    /// that waits for a group is there before its time.
    pub(super) DEPTHS = "select queue, count(*) as waiting, min(due_at) as oldest
        from signalbox.queue_jobs where state = 0 and run_at <= $1 group by queue order by queue";
    pub(super) PING = "select cast(1 as bigint)";

    /// $1 queue, $2 job id.
    pub(super) RECURRING_GET = "select job_id, data, interval_ms, cron, start_delay_ms, priority, skip_overlap, next_at
        from signalbox.queue_recurring where queue = $1 and job_id = $2";
    /// $1 queue.
    pub(super) RECURRING_LIST = "select job_id, data, interval_ms, cron, start_delay_ms, priority, skip_overlap, next_at
        from signalbox.queue_recurring where queue = $1 order by job_id";
    /// $1 queue, $2 now, $3 at most.
    pub(super) RECURRING_DUE = "select job_id, data, interval_ms, cron, start_delay_ms, priority, skip_overlap, next_at
        from signalbox.queue_recurring where queue = $1 and next_at <= $2 order by next_at limit $3";
    /// $1 queue, then the columns.
    pub(super) RECURRING_PUT = "insert into signalbox.queue_recurring
        (queue, job_id, data, interval_ms, cron, start_delay_ms, priority, skip_overlap, next_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (queue, job_id) do update set data = excluded.data, interval_ms = excluded.interval_ms,
            cron = excluded.cron, start_delay_ms = excluded.start_delay_ms, priority = excluded.priority,
            skip_overlap = excluded.skip_overlap, next_at = excluded.next_at";
    /// $1 queue, $2 job id.
    pub(super) RECURRING_DELETE = "delete from signalbox.queue_recurring where queue = $1 and job_id = $2";
    /// $1 queue, $2 job id: ticks that have not started.
    pub(super) RECURRING_DROP_TICKS = "delete from signalbox.queue_jobs where queue = $1 and recurring = $2 and attempt = 0";
    /// $1 queue; rows [`Advance`]. Answers who moved, for whom a tick is to be made, and as they are
    /// now: an update may keep the instant and the schedule that were read, but change the data.
    pub(super) RECURRING_ADVANCE = {
        sqlite: "update queue_recurring set next_at = r.next_at
            from (select value->>'job_id' job_id, value->>'expected' expected, value->>'interval_ms' interval_ms,
                         value->>'cron' cron, value->>'next_at' next_at from jsonb_each($2)) r
            where queue_recurring.queue = $1 and queue_recurring.job_id = r.job_id and queue_recurring.next_at = r.expected
              and queue_recurring.interval_ms is r.interval_ms and queue_recurring.cron is r.cron
            returning job_id, data, interval_ms, cron, start_delay_ms, priority, skip_overlap, next_at",
        postgres: "update signalbox.queue_recurring q set next_at = r.next_at
            from unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::timestamptz[])
                 as r(job_id, expected, interval_ms, cron, next_at)
            where q.queue = $1 and q.job_id = r.job_id and q.next_at = r.expected
              and q.interval_ms is not distinct from r.interval_ms and q.cron is not distinct from r.cron
            returning q.job_id, q.data, q.interval_ms, q.cron, q.start_delay_ms, q.priority, q.skip_overlap, q.next_at",
    };

    /// $1 now; rows [`Consumed`].
    pub(super) SEEN = {
        sqlite: "insert into queue_groups (queue, grp, seen_at)
            select value->>'queue', value->>'grp', $1 from jsonb_each($2) where true
            on conflict (queue, grp) do update set seen_at = excluded.seen_at",
        postgres: "insert into signalbox.queue_groups (queue, grp, seen_at)
            select r.queue, r.grp, $1 from unnest($2::text[], $3::text[]) as r(queue, grp) order by r.queue, r.grp
            on conflict (queue, grp) do update set seen_at = excluded.seen_at",
    };
    /// $1 seen before.
    pub(super) PRUNE_GROUP_JOBS = "delete from signalbox.queue_jobs where (queue, grp) in
        (select queue, grp from signalbox.queue_groups where seen_at < $1)";
    /// $1 seen before.
    pub(super) PRUNE_GROUPS = "delete from signalbox.queue_groups where seen_at < $1";
    /// $1 due before.
    pub(super) PRUNE_ORPHANS = "delete from signalbox.queue_jobs where seq in
        (select seq from signalbox.queue_jobs where grp = '' and due_at < $1 order by due_at limit $2)";
    /// $1 failed before.
    pub(super) PRUNE_DEAD = "delete from signalbox.queue_dead where seq in
        (select seq from signalbox.queue_dead where failed_at < $1 order by failed_at limit $2)";
}

batch_row! {
    /// A job of a batch that runs again later; its row was deleted by the same transaction.
    pub(super) struct Returned {
        pub seq: i64,
        pub job_id: Text,
        pub data: Doc,
        pub priority: i32,
        pub run_at: Ts,
        pub due_at: Ts,
        pub enqueued_at: Ts,
        pub attempt: i32,
        pub defers: i32,
        pub recurring: Option<Text>,
    }
}
batch_row! {
    /// A job of a batch that failed for good; its row was deleted by the same transaction.
    pub(super) struct Buried {
        pub seq: i64,
        pub enqueued_at: Ts,
        pub attempts: i32,
        pub job_id: Text,
        pub cause: Text,
        pub data: Doc,
    }
}
