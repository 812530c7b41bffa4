//! What only the SQL queue does: transactions, leases over several nodes, batches, retention
//! (`plugins §7`, acceptance 19.19–22).

use crate::queue_support::{Fixture, Record, batch, handler, text};
use plugin_api::{
    Clock, PluginId, Tx,
    db::{Db, FromRow, Sql},
    fail,
    hook::{Hook, HookMode, Hooks},
    queue::{
        BatchHandler, Consumer, Job, JobError, NewJob, QueueManager, Recurring, Retries, Schedule,
        Verdict,
    },
};
use plugin_runtime::{hook::SqlHookBus, queue::SqlQueues};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_kit::{Logs, TestDb, advance_until, both_engines, eventually, prepare_all, stays, within};
use tokio::sync::Semaphore;

fn job(text: &str) -> NewJob {
    NewJob::new(json!(text))
}
fn jobs(texts: &[&str]) -> Vec<NewJob> {
    texts.iter().map(|t| job(t)).collect()
}
const DAY: Duration = Duration::from_secs(24 * 3600);

const DEAD: Sql = Sql {
    sqlite: "select job_id || ' ' || attempts || ' ' || cause from queue_dead order by seq",
    postgres: "select job_id || ' ' || attempts || ' ' || cause from signalbox.queue_dead order by seq",
};
const BURY: Sql = Sql {
    sqlite: "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) insert into queue_dead (seq, failed_at, enqueued_at, attempts, queue, grp, job_id, cause, data) select i, $2, $2, 1, 'q', 'g', 'j', 'c', '{}' from n",
    postgres: "insert into signalbox.queue_dead (seq, failed_at, enqueued_at, attempts, queue, grp, job_id, cause, data) select n, $2, $2, 1, 'q', 'g', 'j', 'c', '{}' from generate_series(1, $1::bigint) n",
};
const BURIED: Sql = Sql {
    sqlite: "select count(*) from queue_dead",
    postgres: "select count(*) from signalbox.queue_dead",
};
const LEASED: Sql = Sql {
    sqlite: "select count(*) from queue_jobs where state = 2",
    postgres: "select count(*) from signalbox.queue_jobs where state = 2",
};
const PROMOTE: Sql = Sql {
    sqlite: "update queue_jobs set state = 0",
    postgres: "update signalbox.queue_jobs set state = 0",
};
const PENDING_TICKS: Sql = Sql {
    sqlite: "select data from queue_jobs where recurring is not null and attempt = 0",
    postgres: "select data::text from signalbox.queue_jobs where recurring is not null and attempt = 0",
};
const MARK: Sql = Sql {
    sqlite: "insert into queue_groups (queue, grp, seen_at) values ('mark', $1, 0) on conflict do nothing",
    postgres: "insert into signalbox.queue_groups (queue, grp, seen_at) values ('mark', $1, now()) on conflict do nothing",
};
const MARKS: Sql = Sql {
    sqlite: "select grp from queue_groups where queue = 'mark' order by grp",
    postgres: "select grp from signalbox.queue_groups where queue = 'mark' order by grp",
};
fn cron(pattern: &str, data: &str) -> Recurring {
    Recurring {
        job_id: "beat".into(),
        data: json!(data),
        schedule: Schedule::Cron(pattern.into()),
        start_delay: None,
        priority: 0,
        skip_overlap: false,
    }
}
async fn all<R: FromRow>(db: &Db, sql: Sql) -> Vec<R> {
    db.sql(sql).all().await.unwrap()
}

/// Writes each job's text in its transaction, then obeys it: `bad` fails the batch, `retry` and
/// `poison` fail alone.
struct Obey(Record);
#[async_trait::async_trait]
impl BatchHandler for Obey {
    async fn handle(&self, tx: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
        self.0
            .add(jobs.iter().map(text).collect::<Vec<_>>().join("+"));
        let mut verdicts = Vec::new();
        for job in jobs {
            tx.sql(MARK).bind(text(job)).execute().await?;
            verdicts.push(match text(job).as_str() {
                "bad" => return Err(JobError::retry("the batch fails")),
                "poison" => Verdict::Failed(JobError::permanent("poison")),
                "retry" if job.attempt < 3 => Verdict::Failed(JobError::retry("not yet")),
                _ => Verdict::Done,
            });
        }
        Ok(verdicts)
    }
}

both_engines! {
    async fn every_statement_is_prepared(db: TestDb) {
        prepare_all(db.db(), plugin_runtime::queue::STATEMENTS).await;
        prepare_all(db.db(), plugin_runtime::hook::STATEMENTS).await;
    }

    async fn plugins_19_21_a_job_exists_if_and_only_if_its_transaction_commits(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        f.queues.consume("t.q", Consumer::each("t.g", record.handler()).concurrency(1)).await.unwrap();
        let mut tx = f.db().db().begin().await.unwrap();
        f.queues.enqueue_in(&mut tx, "t.q", jobs(&["gone"])).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = f.db().db().begin().await.unwrap();
        let ids = f.queues.enqueue_in(&mut tx, "t.q", jobs(&["a", "b"])).await.unwrap();
        assert_eq!(ids.len(), 2);
        assert!(stays(async || record.len() == 0).await);
        tx.commit().await.unwrap();
        assert_eq!(record.wait(2).await, ["a", "b"]);
    }

    async fn plugins_19_19_a_killed_node_loses_its_job_to_another_after_the_lease(db: TestDb) {
        let (f, record, start) = (Fixture::sql(db), Record::default(), Fixture::epoch());
        let node = fail::Scope::default();
        let stuck = {
            let record = record.clone();
            handler(move |job| {
                record.add(format!("first {}", job.attempt));
                std::future::pending::<Result<(), JobError>>()
            })
        };
        node.run(f.queues.consume("t.q", Consumer::each("t.g", stuck))).await.unwrap();
        f.queues.enqueue("t.q", jobs(&["x"])).await.unwrap();
        record.wait(1).await;
        let second = f.second_node();
        let takes_over = {
            let record = record.clone();
            handler(move |job| {
                record.add(format!("second {}", job.attempt));
                async { Ok(()) }
            })
        };
        second.consume("t.q", Consumer::each("t.g", takes_over)).await.unwrap();
        // The lease is renewed while the node lives.
        for second in [10, 20, 30, 40] {
            f.run_to(start.plus_millis(second * 1000)).await;
        }
        assert!(stays(async || record.len() == 1).await);
        node.kill();
        f.run_to(start.plus_millis(70_000)).await;
        assert_eq!(record.wait(2).await, ["first 1", "second 2"]);
        eventually(async || second.stats("t.q").await.unwrap().completed == 1, "handled").await;
        let stats = second.stats("t.q").await.unwrap();
        assert_eq!((stats.pending, stats.processing, stats.failed), (0, 0, 0));
    }

    async fn a_node_that_lost_its_lease_neither_ends_nor_buries_the_job(db: TestDb) {
        let (f, record, start) = (Fixture::sql(db), Record::default(), Fixture::epoch());
        let (cut_off, gates) = (fail::Scope::default(), [0; 2].map(|n| Arc::new(Semaphore::new(n))));
        let slow = |name: &'static str, gate: &Arc<Semaphore>, result: fn() -> Result<(), JobError>| {
            let (record, gate) = (record.clone(), gate.clone());
            handler(move |job| {
                let (record, gate) = (record.clone(), gate.clone());
                async move {
                    record.add(format!("{name} {}", job.attempt));
                    gate.acquire().await.unwrap().forget();
                    record.add(format!("{name} ends"));
                    result()
                }
            })
        };
        let zombie = slow("zombie", &gates[0], || Err(JobError::permanent("said by a zombie")));
        cut_off.run(f.queues.consume("t.q", Consumer::each("t.g", zombie))).await.unwrap();
        cut_off.arm("queue.renew", fail::Action::Error(1000));
        f.queues.enqueue("t.q", jobs(&["x"])).await.unwrap();
        record.wait(1).await;
        let second = f.second_node();
        second.consume("t.q", Consumer::each("t.g", slow("second", &gates[1], || Ok(())))).await.unwrap();
        f.run_to(start.plus_millis(30_000)).await;
        assert_eq!(record.wait(2).await, ["zombie 1", "second 2"]);
        gates[0].add_permits(1);
        record.wait(3).await;
        let passes = cut_off.visits("queue.settle");
        let settled = async || cut_off.visits("queue.settle") > passes;
        advance_until(&f.clock, Duration::from_secs(1), settled, "the zombie tries to bury the job").await;
        assert!(stays(async || all::<String>(f.db().db(), DEAD).await.is_empty()).await);
        gates[1].add_permits(1);
        eventually(async || second.stats("t.q").await.unwrap().completed == 1, "the second node's result counts").await;
        let stats = second.stats("t.q").await.unwrap();
        assert_eq!((stats.pending, stats.processing, stats.failed), (0, 0, 0));
    }

    async fn a_lease_that_ran_out_and_came_back_to_its_node_ends_the_execution_before(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        f.queues.consume("t.q", Consumer::each("t.g", record.stuck())).await.unwrap();
        f.queues.enqueue("t.q", jobs(&["x"])).await.unwrap();
        record.wait(1).await;
        // Another node saw the lease end, and is not the one to take the job.
        f.db().db().sql(PROMOTE).execute().await.unwrap();
        f.queues.enqueue("t.q", jobs(&["y"])).await.unwrap();
        let mut all = record.wait(4).await;
        all.sort();
        assert_eq!(all, ["ended", "x 1", "x 2", "y 1"]);
        assert_eq!(f.queues.in_flight("t.q"), 2);
    }

    async fn a_job_whose_every_execution_died_is_not_started_again(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        f.queues.enqueue("t.q", jobs(&["killer"])).await.unwrap();
        for n in 1..=2 {
            let (node, seen) = (fail::Scope::default(), record.clone());
            let dies = handler(move |_| {
                seen.add("started");
                std::future::pending::<Result<(), JobError>>()
            });
            let consumer = Consumer::each("t.g", dies).retries(Retries::Limited(1));
            node.run(f.second_node().consume("t.q", consumer)).await.unwrap();
            // A dying node may just have renewed its lease.
            advance_until(&f.clock, Duration::from_secs(1), async || record.len() >= n, "another execution").await;
            node.kill();
            f.clock.advance(Duration::from_secs(31));
        }
        let consumer = Consumer::each("t.g", record.handler()).retries(Retries::Limited(1));
        f.queues.consume("t.q", consumer).await.unwrap();
        advance_until(&f.clock, Duration::from_secs(1), async || f.queues.stats("t.q").await.unwrap().failed == 1, "a dead letter").await;
        assert_eq!(record.all(), ["started", "started"]);
        assert!(all::<String>(f.db().db(), DEAD).await[0].contains("lease"));
    }

    async fn plugins_19_22_a_handler_that_does_not_end_in_30_s_gives_its_lease_back(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        let stuck = {
            let record = record.clone();
            handler(move |_| {
                record.add("stuck");
                std::future::pending::<Result<(), JobError>>()
            })
        };
        f.queues.consume("t.q", Consumer::each("t.g", stuck)).await.unwrap();
        f.queues.enqueue("t.q", jobs(&["x"])).await.unwrap();
        record.wait(1).await;
        let stop = {
            let queues = f.queues.clone();
            plugin_api::spawn(async move { queues.stop().await })
        };
        advance_until(&f.clock, Duration::from_secs(10), async || stop.is_finished(), "stop ends").await;
        assert_eq!(all::<i64>(f.db().db(), LEASED).await, [0]);
        f.second_node().consume("t.q", Consumer::each("t.g", record.handler())).await.unwrap();
        assert_eq!(record.wait(2).await, ["stuck", "x"]);
        let refused = f.queues.consume("t.q", Consumer::each("t.g", record.handler())).await;
        assert!(refused.err().unwrap().to_string().contains("stopped"));
    }

    async fn plugins_19_20_two_nodes_make_one_tick_per_instant(db: TestDb) {
        let (f, record, start) = (Fixture::sql(db), Record::default(), Fixture::epoch());
        let second = f.second_node();
        for queues in [&f.queues, &second] {
            let record = record.clone();
            let seen = handler(move |job| {
                record.add(job.job_id);
                async { Ok(()) }
            });
            queues.consume("t.q", Consumer::each("t.g", seen)).await.unwrap();
        }
        let beat = cron("*/5 * * * *", "tick");
        f.queues.schedule("t.q", beat.clone()).await.unwrap();
        second.schedule("t.q", beat).await.unwrap();
        for tick in 1..=4 {
            let at = start.plus_millis(tick * 300_000);
            f.run_to(at).await;
            assert_eq!(record.wait(tick as usize).await.last().unwrap(), &format!("beat@{at}"));
            f.settled("t.q").await;
        }
        assert!(stays(async || record.len() == 4).await);
        second.stop().await;
        f.queues.stop().await;
        // What passed while nobody looked is not made up for.
        f.clock.advance(Duration::from_secs(1000));
        f.second_node().consume("t.q", Consumer::each("t.g", record.handler())).await.unwrap();
        let next = async || f.queues.recurring_details("t.q", "beat").await.unwrap().unwrap().next_at;
        eventually(async || next().await == start.plus_millis(2_400_000), "the grid goes on").await;
        assert!(stays(async || record.len() == 4).await);
    }

    async fn plugins_19_20_a_tick_is_made_of_what_was_updated_while_a_node_read_the_job(db: TestDb) {
        let (f, start) = (Fixture::sql(db), Fixture::epoch());
        // The update keeps the next instant; the second one not the instants after it.
        for (queue, minute, old, new, next) in [
            ("t.a", 5, "*/5 * * * *", "*/5 * * * *", 10),
            ("t.b", 7, "*/7 * * * *", "7 * * * *", 67),
        ] {
            let at = |minute: i64| start.plus_millis(minute * 60_000);
            let (node, updater, record) = (fail::Scope::default(), fail::Scope::default(), Record::default());
            node.run(f.queues.consume(queue, Consumer::each("t.g", record.handler()))).await.unwrap();
            f.queues.schedule(queue, cron(old, "old")).await.unwrap();
            eventually(async || f.clock.sleeping_until(at(minute)) == 1, "the lane waits for the tick").await;
            updater.arm(fail::COMMIT, fail::Action::Hang);
            let update = {
                let (queues, updater, new) = (f.queues.clone(), updater.clone(), cron(new, "new"));
                plugin_api::spawn(async move { updater.run(queues.schedule(queue, new)).await })
            };
            eventually(async || updater.visits(fail::COMMIT) == 1, "the update is about to commit").await;
            node.arm("queue.tick", fail::Action::Hang);
            f.run_to(at(minute)).await;
            eventually(async || node.visits("queue.tick") == 1, "the node has read the job").await;
            updater.disarm(fail::COMMIT);
            within(update, "the update").await.unwrap().unwrap();
            node.disarm("queue.tick");
            assert_eq!(record.wait(1).await, ["new"]);
            let details = f.queues.recurring_details(queue, "beat").await.unwrap();
            assert_eq!(details.unwrap().next_at, at(next));
        }
    }

    async fn a_batch_takes_its_jobs_and_writes_in_one_transaction(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        f.queues.enqueue("t.q", jobs(&["a", "b", "c", "d", "e"])).await.unwrap();
        f.queues.consume("t.q", Consumer::batch("t.g", 3, Arc::new(Obey(record.clone())))).await.unwrap();
        assert_eq!(record.wait(2).await, ["a+b+c", "d+e"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().completed == 5, "all committed").await;
        assert_eq!(all::<String>(f.db().db(), MARKS).await, ["a", "b", "c", "d", "e"]);
        assert_eq!(f.queues.in_flight("t.q"), 0);
    }

    async fn a_bad_job_of_a_batch_costs_only_itself(db: TestDb) {
        let (f, record, start) = (Fixture::sql(db), Record::default(), Fixture::epoch());
        f.queues.enqueue("t.q", jobs(&["a", "bad", "c", "d"])).await.unwrap();
        let consumer = Consumer::batch("t.g", 10, Arc::new(Obey(record.clone()))).retries(Retries::Limited(1));
        f.queues.consume("t.q", consumer).await.unwrap();
        assert_eq!(record.wait(5).await, ["a+bad+c+d", "a+bad", "a", "bad", "c+d"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().completed == 3, "the good ones committed").await;
        assert_eq!(all::<String>(f.db().db(), MARKS).await, ["a", "c", "d"]);
        f.run_to(start.plus_millis(1000)).await;
        record.wait(6).await;
        let dead = async || all::<String>(f.db().db(), DEAD).await;
        eventually(async || dead().await.len() == 1, "the bad one is a dead letter").await;
        assert!(dead().await[0].ends_with(" 2 the batch fails"), "{:?}", dead().await);
    }

    async fn verdicts_of_a_batch_are_those_of_a_single_handler(db: TestDb) {
        let (f, logs, record, start) = (Fixture::sql(db), Logs::new(), Record::default(), Fixture::epoch());
        f.queues.enqueue("t.q", vec![job("a"), job("poison").id("p"), job("retry").id("r")]).await.unwrap();
        let consumer = Consumer::batch("t.g", 10, Arc::new(Obey(record.clone())));
        logs.record(f.queues.consume("t.q", consumer)).await.unwrap();
        assert_eq!(record.wait(1).await, ["a+poison+retry"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().failed == 1, "the poison is dead").await;
        assert_eq!(all::<String>(f.db().db(), DEAD).await, ["p 1 poison"]);
        let line = &logs.find(tracing::Level::ERROR, "for good")[0];
        for (field, value) in [("queue", "t.q"), ("group", "t.g"), ("job_id", "p"), ("cause", "poison")] {
            assert_eq!(line.fields[field], value);
        }
        // Once started, a job id suppresses nothing.
        f.queues.enqueue("t.q", vec![job("b").id("r")]).await.unwrap();
        assert_eq!(record.wait(2).await[1], "b");
        f.run_to(start.plus_millis(1000)).await;
        record.wait(3).await;
        f.run_to(start.plus_millis(3000)).await;
        assert_eq!(record.wait(4).await, ["a+poison+retry", "b", "retry", "retry"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().completed == 3, "done at the third").await;
    }

    async fn a_lane_that_panics_or_miscounts_goes_on(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        let seen = record.clone();
        let odd = batch(move |jobs| {
            seen.add(text(&jobs[0]));
            match text(&jobs[0]).as_str() {
                "panic" => panic!("boom"),
                "miscount" => Ok(vec![]),
                _ => Ok(jobs.iter().map(|_| Verdict::Done).collect()),
            }
        });
        f.queues.enqueue("t.q", jobs(&["panic", "miscount", "good"])).await.unwrap();
        f.queues.consume("t.q", Consumer::batch("t.g", 1, odd).retries(Retries::Limited(0))).await.unwrap();
        assert_eq!(record.wait(3).await, ["panic", "miscount", "good"]);
        let dead = all::<String>(f.db().db(), DEAD).await;
        assert!(dead[0].contains("boom") && dead[1].contains("0 verdicts for 1 jobs"), "{dead:?}");
    }

    async fn what_is_kept_for_7_days_goes_after_them(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        let fails = handler(|_| async { Err(JobError::permanent("no")) });
        let gone = f.queues.consume("t.q", Consumer::each("t.gone", fails)).await.unwrap();
        f.queues.consume("t.live", Consumer::each("t.g", record.handler())).await.unwrap();
        f.queues.enqueue("t.q", jobs(&["dead letter"])).await.unwrap();
        eventually(async || f.queues.stats("t.q").await.unwrap().failed == 1, "a dead letter").await;
        gone.unsubscribe().await;
        f.queues.enqueue("t.q", jobs(&["backlog"])).await.unwrap();
        f.queues.enqueue("t.nobody", jobs(&["orphan"])).await.unwrap();
        let left = async || {
            let (q, nobody, live) = (f.queues.stats("t.q").await.unwrap(), f.queues.stats("t.nobody").await.unwrap(), f.queues.stats("t.live").await.unwrap());
            (q.failed, q.pending, q.consumer_groups, nobody.pending, live.consumer_groups)
        };
        for day in 1..=6 {
            f.run_to(Fixture::epoch().plus_millis(day * DAY.as_millis() as i64)).await;
        }
        f.queues.enqueue("t.live", jobs(&["a pass"])).await.unwrap();
        record.wait(1).await;
        assert_eq!(left().await, (1, 1, 1, 1, 1));
        f.clock.advance(DAY + Duration::from_secs(7200));
        eventually(async || left().await == (0, 0, 0, 0, 1), "only the live group is left").await;
    }

    async fn many_dead_letters_go_in_batches_after_the_days_set(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        let queues = SqlQueues::new(f.db().db().clone(), f.clock.clone(), f.hints.clone(), "node".into());
        queues.keep_dead_letters(2);
        f.db().db().sql(BURY).bind(1_200_i64).bind(f.now()).execute().await.unwrap();
        queues.consume("t.live", Consumer::each("t.g", record.handler())).await.unwrap();
        let dead = async || all::<i64>(f.db().db(), BURIED).await[0];
        for (day, left) in [(1, 1_200), (2, 0)] {
            f.clock.advance(DAY + Duration::from_secs(3600));
            queues.enqueue("t.live", jobs(&["a pass"])).await.unwrap();
            record.wait(day).await;
            eventually(async || dead().await == left, "what is left after the pass").await;
        }
    }

    async fn an_idle_lane_looks_once_when_its_last_lease_would_have_ended_and_then_sleeps_a_day(db: TestDb) {
        let (f, record) = (Fixture::sql(db), Record::default());
        f.queues.consume("t.q", Consumer::each("t.g", record.handler())).await.unwrap();
        f.queues.consume("t.q", Consumer::batch("t.b", 10, batch(|j| Ok(j.iter().map(|_| Verdict::Done).collect())))).await.unwrap();
        f.queues.enqueue("t.q", jobs(&["x"])).await.unwrap();
        record.wait(1).await;
        let tomorrow = f.now().plus_millis(DAY.as_millis() as i64);
        let done = async || f.queues.stats("t.q").await.unwrap().completed == 2;
        eventually(done, "both groups handled it").await;
        f.clock.advance(Duration::from_secs(30));
        let asleep = async || f.clock.next_wake().is_some_and(|at| at >= tomorrow);
        eventually(asleep, "nothing to wait for before tomorrow").await;
        assert!(stays(asleep).await);
    }

    async fn a_delay_is_kept_while_the_queue_is_busy(db: TestDb) {
        let (f, record, start) = (Fixture::sql(db), Record::default(), Fixture::epoch());
        let (queues, seen, clock) = (f.queues.clone(), record.clone(), f.clock.clone());
        // Every job enqueues the next and moves time on by a quarter of a second: never empty.
        let busy = handler(move |job| {
            let (queues, seen, clock) = (queues.clone(), seen.clone(), clock.clone());
            async move {
                if text(&job) == "late" {
                    seen.add((clock.now().millis() - start.millis()).to_string());
                } else if clock.now() < start.plus_millis(20_000) {
                    queues.enqueue("t.q", jobs(&["busy"])).await?;
                    clock.advance(Duration::from_millis(250));
                }
                Ok(())
            }
        });
        f.queues.enqueue("t.q", jobs(&["busy", "busy", "busy"])).await.unwrap();
        f.queues.consume("t.q", Consumer::each("t.g", busy).concurrency(1)).await.unwrap();
        f.second_node().enqueue("t.q", vec![job("late").at(start.plus_millis(5000)).priority(1)]).await.unwrap();
        let ran: i64 = record.wait(1).await[0].parse().unwrap();
        assert!((5000..10_000).contains(&ran), "ran after {ran} ms");
    }
}

/// A node has moved the job on and made its tick, and is about to commit, when the job is updated. SQLite
/// has one writer, so there the case cannot arise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_19_20_an_update_drops_the_tick_that_a_node_is_just_making() {
    let (f, node) = (
        Fixture::sql(TestDb::postgres().await),
        fail::Scope::default(),
    );
    f.busy_group("t.q").await;
    let consumer = Consumer::each("t.g", Record::default().handler());
    node.run(f.queues.consume("t.q", consumer)).await.unwrap();
    let old = cron("*/5 * * * *", "old");
    f.queues.schedule("t.q", old).await.unwrap();
    let due = Fixture::epoch().plus_millis(300_000);
    let waits = async || f.clock.sleeping_until(due) == 1;
    eventually(waits, "the lane waits for the tick").await;
    let commits = node.visits(fail::COMMIT);
    node.arm(fail::COMMIT, fail::Action::Hang);
    f.run_to(due).await;
    let made = async || node.visits(fail::COMMIT) > commits;
    eventually(made, "the tick is made").await;
    let update = {
        let queues = f.queues.clone();
        let new = cron("0 4 * * *", "new");
        plugin_api::spawn(async move { queues.schedule("t.q", new).await })
    };
    assert!(stays(async || !update.is_finished()).await);
    node.disarm(fail::COMMIT);
    within(update, "the update").await.unwrap().unwrap();
    let pending = all::<String>(f.db().db(), PENDING_TICKS).await;
    assert_eq!(pending, [] as [String; 0]);
}

/// An enqueue of a job id that a batch is handling right now waits for the outcome: neither lost
/// with the batch nor doubled. SQLite has one writer, so there the case cannot arise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_19_15_a_job_id_is_not_suppressed_by_a_batch_that_runs() {
    struct Gate(Record, Arc<Semaphore>);
    #[async_trait::async_trait]
    impl BatchHandler for Gate {
        async fn handle(&self, _: &mut Tx, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
            self.0.add(text(&jobs[0]));
            self.1.acquire().await.unwrap().forget();
            Ok(jobs.iter().map(|_| Verdict::Done).collect())
        }
    }
    let (f, record) = (Fixture::sql(TestDb::postgres().await), Record::default());
    let gate = Arc::new(Semaphore::new(0));
    let handler = Arc::new(Gate(record.clone(), gate.clone()));
    let consumer = Consumer::batch("t.g", 10, handler);
    f.queues.consume("t.q", consumer).await.unwrap();
    f.queues
        .enqueue("t.q", vec![job("first").id("x")])
        .await
        .unwrap();
    record.wait(1).await;
    let enqueued = {
        let queues = f.queues.clone();
        plugin_api::spawn(async move { queues.enqueue("t.q", vec![job("second").id("x")]).await })
    };
    assert!(stays(async || !enqueued.is_finished()).await);
    gate.add_permits(2);
    within(enqueued, "the enqueue ends with the batch")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.wait(2).await, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_backend_refuses_batches_and_more_jobs_than_it_has_room_for() {
    let f = Fixture::memory();
    let refused = f
        .queues
        .consume("t.q", Consumer::batch("t.g", 10, batch(|_| Ok(vec![]))))
        .await;
    assert!(refused.err().unwrap().to_string().contains("sql backend"));
    let many = (0..10_000).map(|n| job(&n.to_string())).collect();
    f.queues.enqueue("t.q", many).await.unwrap();
    let full = f.queues.enqueue("t.q", jobs(&["one more"])).await;
    assert!(full.err().unwrap().to_string().contains("10000"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_backend_forgets_a_broadcast_group_that_was_left_and_keeps_a_work_queue() {
    const DONE: Hook<String> = Hook::new("owner.thing.done");
    let (db, f) = (TestDb::sqlite().await, Fixture::memory());
    let (queues, clock) = (f.queues.clone(), f.clock.clone());
    let bus = SqlHookBus::new(db.db().clone(), queues, clock, "node-1".into());
    bus.open_barrier().await.unwrap();
    let hooks = Hooks::new(bus, PluginId::new("owner"));
    for mode in [HookMode::Broadcast, HookMode::work_queue("w")] {
        let nothing = |_: String, _| async { Ok(()) };
        let listener = hooks.on(&DONE, mode, nothing).await.unwrap();
        listener.unsubscribe().await;
    }
    hooks.emit(&DONE, &"x".to_owned()).await.unwrap();
    let stats = f.queues.stats("hook:owner.thing.done").await.unwrap();
    assert_eq!((stats.consumer_groups, stats.pending), (1, 1));
}
