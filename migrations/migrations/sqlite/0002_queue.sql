-- Jobs, consumer groups, recurring schedules and hook subscriptions (plugins 6 and 7).

-- A group that has consumed a queue; every one of them gets every job. `seen_at` is when a node
-- last consumed it: a group unseen for 7 days goes, with its backlog.
create table queue_groups (
    queue   text not null,
    grp     text not null,
    seen_at integer not null,
    primary key (queue, grp)
);

-- One row per job and group; `grp` is empty while a queue has no group yet.
-- state: 0 ready, 1 delayed until run_at, 2 leased until run_at.
-- attempt counts every start and is, with seq, the fence of a lease; defers of them do not count.
create table queue_jobs (
    seq         integer primary key autoincrement,
    run_at      integer not null,
    due_at      integer not null,
    enqueued_at integer not null,
    priority    integer not null,
    attempt     integer not null default 0,
    defers      integer not null default 0,
    state       integer not null,
    named       integer not null,
    queue       text not null,
    grp         text not null,
    job_id      text not null,
    recurring   text,
    data        text not null
);
create index queue_jobs_ready on queue_jobs (queue, grp, priority desc, seq) where state = 0;
create index queue_jobs_waiting on queue_jobs (queue, grp, run_at) where state <> 0;
-- A job id suppresses only a job that has not started (plugins 7).
create unique index queue_jobs_unstarted on queue_jobs (queue, grp, job_id) where named and attempt = 0;
create index queue_jobs_recurring on queue_jobs (queue, recurring) where recurring is not null;
create index queue_jobs_orphans on queue_jobs (due_at) where grp = '';

-- `next_at` moves by a conditional update: who moves it makes the tick of that instant.
create table queue_recurring (
    queue          text not null,
    job_id         text not null,
    interval_ms    integer,
    cron           text,
    start_delay_ms integer,
    priority       integer not null,
    skip_overlap   integer not null,
    next_at        integer not null,
    data           text not null,
    primary key (queue, job_id)
);
create index queue_recurring_next on queue_recurring (queue, next_at);

-- Jobs that failed for good, kept 7 days. The cause is masked.
create table queue_dead (
    seq         integer primary key,
    failed_at   integer not null,
    enqueued_at integer not null,
    attempts    integer not null,
    queue       text not null,
    grp         text not null,
    job_id      text not null,
    cause       text not null,
    data        text not null
);
create index queue_dead_queue on queue_dead (queue, failed_at);
create index queue_dead_failed on queue_dead (failed_at);

-- Broadcast groups live with their node: one silent for 60 s loses them (plugins 6.5).
create table hook_broadcasts (
    queue   text not null,
    grp     text not null,
    node    text not null,
    seen_at integer not null,
    primary key (queue, grp)
);
create index hook_broadcasts_node on hook_broadcasts (node);
create index hook_broadcasts_seen on hook_broadcasts (seen_at);

-- Events emitted before the boot barrier of their node, until it opens (plugins 3.4).
create table hook_staged (
    seq       integer primary key autoincrement,
    staged_at integer not null,
    node      text not null,
    hook      text not null,
    data      text not null
);
create index hook_staged_node on hook_staged (node, seq);
create index hook_staged_at on hook_staged (staged_at);
