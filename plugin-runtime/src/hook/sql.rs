//! The statements of the hook bus beside those of its queues.

use plugin_api::{Doc, Text, batch_row, row, statements};

row! {
    /// An event that waits for the barrier.
    pub(super) struct Staged {
        pub seq: i64,
        pub hook: Text,
        pub data: Doc,
    }
}
row! {
    /// A broadcast group whose node is gone.
    pub(super) struct Expired {
        pub queue: Text,
        pub grp: Text,
    }
}
batch_row! {
    /// A group to remove.
    pub(super) struct Group {
        pub queue: Text,
        pub grp: Text,
    }
}
batch_row! {
    /// A staged event that has moved on.
    pub(super) struct Seq {
        pub seq: i64,
    }
}

statements! {
    /// $1 now, $2 node, $3 hook, $4 envelope.
    pub(super) STAGE = "insert into signalbox.hook_staged (staged_at, node, hook, data) values ($1, $2, $3, $4)";
    /// $1 node, $2 at most: events of this boot, and of boots that died. A database that one process
    /// owns holds no others; where nodes share it, a node without a mark is dead.
    pub(super) STAGED = {
        sqlite: "select seq, hook, data from hook_staged where $1 is not null order by seq limit $2",
        postgres: "select seq, hook, data from signalbox.hook_staged s
            where node = $1 or not exists (select 1 from signalbox.hook_broadcasts b where b.node = s.node)
            order by seq limit $2 for update of s skip locked",
    };
    /// Rows [`Seq`].
    pub(super) UNSTAGE = {
        sqlite: "delete from hook_staged where seq in (select value->>'seq' from jsonb_each($1))",
        postgres: "delete from signalbox.hook_staged where seq = any($1::bigint[])",
    };
    /// $1 queue (empty for the mark of the node itself), $2 group, $3 node, $4 now.
    pub(super) BROADCAST = "insert into signalbox.hook_broadcasts (queue, grp, node, seen_at) values ($1, $2, $3, $4)
        on conflict (queue, grp) do update set seen_at = excluded.seen_at";
    /// $1 node, $2 now.
    pub(super) BEAT = "update signalbox.hook_broadcasts set seen_at = $2 where node = $1";
    /// $1 not seen since.
    pub(super) EXPIRE = "delete from signalbox.hook_broadcasts where seen_at < $1 returning queue, grp";
    /// $1 node. For a database that one process owns: every other node is gone.
    pub(super) EXPIRE_OTHERS = "delete from signalbox.hook_broadcasts where node <> $1 returning queue, grp";
    /// $1 now: queues that have something to do for one of their groups. A few looks into an index for
    /// each group, however much waits.
    pub(super) DUE_QUEUES = "select distinct queue from signalbox.queue_groups g
        where exists (select 1 from signalbox.queue_jobs where queue = g.queue and grp in (g.grp, '') and state = 0)
           or exists (select 1 from signalbox.queue_jobs where queue = g.queue and grp = g.grp and state <> 0 and run_at <= $1)
           or exists (select 1 from signalbox.queue_recurring where queue = g.queue and next_at <= $1)";
    /// Rows [`Group`].
    pub(super) LEAVE = {
        sqlite: "delete from hook_broadcasts where (queue, grp) in
            (select value->>'queue', value->>'grp' from jsonb_each($1))",
        postgres: "delete from signalbox.hook_broadcasts b using unnest($1::text[], $2::text[]) as r(queue, grp)
            where b.queue = r.queue and b.grp = r.grp",
    };
    /// Rows [`Group`].
    pub(super) DROP_GROUPS = {
        sqlite: "delete from queue_groups where (queue, grp) in
            (select value->>'queue', value->>'grp' from jsonb_each($1))",
        postgres: "delete from signalbox.queue_groups g using unnest($1::text[], $2::text[]) as r(queue, grp)
            where g.queue = r.queue and g.grp = r.grp",
    };
    /// Rows [`Group`].
    pub(super) DROP_BACKLOG = {
        sqlite: "delete from queue_jobs where (queue, grp) in
            (select value->>'queue', value->>'grp' from jsonb_each($1))",
        postgres: "delete from signalbox.queue_jobs j using unnest($1::text[], $2::text[]) as r(queue, grp)
            where j.queue = r.queue and j.grp = r.grp",
    };
}
