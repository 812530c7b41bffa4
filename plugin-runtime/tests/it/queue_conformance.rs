//! What every queue backend does alike (`plugins §7`, acceptance 19.15–18, 20, 22).

use crate::queue_support::{Fixture, Record, every_backend, handler, text};
use plugin_api::{
    Clock, Ts,
    queue::{Consumer, JobError, NewJob, QueueError, Recurring, Retries, Schedule},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_kit::{TestDb, advance_until, eventually, stays, within};
use tokio::sync::Semaphore;

fn job(text: &str) -> NewJob {
    NewJob::new(json!(text))
}
const SECOND: Duration = Duration::from_secs(1);

every_backend! {
    async fn plugins_19_15_a_job_id_collapses_only_onto_a_job_not_yet_started(f: Fixture) {
        let (record, gate) = (Record::default(), Arc::new(Semaphore::new(0)));
        let run = {
            let (record, gate) = (record.clone(), gate.clone());
            handler(move |job| {
                let (record, gate) = (record.clone(), gate.clone());
                async move {
                    record.add(text(&job));
                    gate.acquire().await.unwrap().forget();
                    Ok(())
                }
            })
        };
        let later = f.now().plus_millis(1000);
        for data in ["first", "suppressed"] {
            let ids = f.queues.enqueue("t.q", vec![job(data).id("x").at(later)]).await.unwrap();
            assert_eq!(ids, ["x"]);
        }
        f.queues.consume("t.q", Consumer::each("t.g", run)).await.unwrap();
        f.queues.enqueue("t.q", vec![job("suppressed").id("x").at(later)]).await.unwrap();
        f.run_to(later).await;
        record.wait(1).await;
        f.queues.enqueue("t.q", vec![job("second").id("x")]).await.unwrap();
        gate.add_permits(2);
        assert_eq!(record.wait(2).await, ["first", "second"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().completed == 2, "both done").await;
        f.queues.enqueue("t.q", vec![job("third").id("x")]).await.unwrap();
        record.wait(3).await;
    }

    async fn plugins_19_16_priority_then_order_and_no_job_before_its_time(f: Fixture) {
        let record = Record::default();
        let due = f.now().plus_millis(2000);
        f.queues.enqueue("t.q", vec![job("a"), job("b"), job("late").at(due), job("urgent").priority(5), job("c")]).await.unwrap();
        f.queues.consume("t.q", Consumer::each("t.g", record.handler()).concurrency(1)).await.unwrap();
        assert_eq!(record.wait(4).await, ["urgent", "a", "b", "c"]);
        f.clock.advance(Duration::from_millis(1999));
        assert!(stays(async || record.len() == 4).await);
        f.run_to(due).await;
        assert_eq!(record.wait(5).await[4], "late");
    }

    async fn plugins_19_17_four_executions_at_0_1_3_7_seconds_then_dead(f: Fixture) {
        let (record, start) = (Record::default(), f.now());
        let run = {
            let (record, clock) = (record.clone(), f.clock.clone());
            handler(move |job| {
                record.add(format!("{} {}", job.attempt, (clock.now().millis() - start.millis()) / 1000));
                async { Err(JobError::retry("no luck")) }
            })
        };
        f.queues.consume("t.q", Consumer::each("t.g", run)).await.unwrap();
        f.queues.enqueue("t.q", vec![job("x")]).await.unwrap();
        for (n, second) in [(1, 1), (2, 3), (3, 7)] {
            record.wait(n).await;
            f.run_to(start.plus_millis(second * 1000)).await;
        }
        assert_eq!(record.wait(4).await, ["1 0", "2 1", "3 3", "4 7"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().failed == 1, "a dead letter").await;
        let stats = f.queues.stats("t.q").await.unwrap();
        assert_eq!((stats.pending, stats.processing, stats.completed), (0, 0, 0));
        f.clock.advance(Duration::from_secs(120));
        assert!(stays(async || record.len() == 4).await);
    }

    async fn plugins_19_17_permanent_runs_once_and_defer_does_not_count(f: Fixture) {
        let record = Record::default();
        let run = {
            let record = record.clone();
            handler(move |job| {
                record.add(format!("{} {}", text(&job), job.attempt));
                let n = record.len();
                async move {
                    match text(&job).as_str() {
                        "permanent" => Err(JobError::permanent("never")),
                        _ if n < 5 => Err(JobError::Defer(SECOND)),
                        _ => Err(JobError::retry("counted")),
                    }
                }
            })
        };
        let consumer = Consumer::each("t.g", run).retries(Retries::Limited(0));
        f.queues.consume("t.q", consumer).await.unwrap();
        f.queues.enqueue("t.q", vec![job("permanent")]).await.unwrap();
        record.wait(1).await;
        f.queues.enqueue("t.q", vec![job("defer")]).await.unwrap();
        for n in 2..5 {
            record.wait(n).await;
            f.run_for(SECOND).await;
        }
        let all = record.wait(5).await;
        assert_eq!(all, ["permanent 1", "defer 1", "defer 1", "defer 1", "defer 1"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().failed == 2, "both dead").await;
    }

    async fn plugins_19_18_groups_share_neither_attempts_nor_fate(f: Fixture) {
        let (bad, good) = (Record::default(), Record::default());
        let fail = {
            let bad = bad.clone();
            handler(move |job| {
                bad.add(job.attempt.to_string());
                async { Err(JobError::retry("no")) }
            })
        };
        let succeed_late = {
            let good = good.clone();
            handler(move |job| {
                good.add(job.attempt.to_string());
                async move { if job.attempt < 3 { Err(JobError::retry("not yet")) } else { Ok(()) } }
            })
        };
        f.queues.consume("t.q", Consumer::each("t.bad", fail).retries(Retries::Limited(1))).await.unwrap();
        f.queues.consume("t.q", Consumer::each("t.good", succeed_late).retries(Retries::Limited(2))).await.unwrap();
        let start = f.now();
        f.queues.enqueue("t.q", vec![job("x")]).await.unwrap();
        for n in [1, 2] {
            bad.wait(n).await;
            good.wait(n).await;
            f.settled("t.q").await;
            f.run_to(start.plus_millis([1000, 3000][n - 1])).await;
        }
        good.wait(3).await;
        assert_eq!((bad.all(), good.all()), (vec!["1".into(), "2".into()], vec!["1".into(), "2".into(), "3".into()]));
        eventually(async || {
            let s = f.queues.stats("t.q").await.unwrap();
            (s.failed, s.completed, s.pending, s.consumer_groups) == (1, 1, 0, 2)
        }, "one dead, one done").await;
    }

    async fn a_group_competes_and_every_group_gets_every_job(f: Fixture) {
        let (a, b) = (Record::default(), Record::default());
        let second = f.second_node();
        for queues in [&f.queues, &second] {
            queues.consume("t.q", Consumer::each("t.a", a.handler())).await.unwrap();
        }
        f.queues.consume("t.q", Consumer::each("t.b", b.handler())).await.unwrap();
        let jobs = (0..50).map(|n| job(&n.to_string())).collect();
        assert_eq!(f.queues.enqueue("t.q", jobs).await.unwrap().len(), 50);
        let (mut a, mut b) = (a.wait(50).await, b.wait(50).await);
        a.sort();
        b.sort();
        let mut all: Vec<_> = (0..50).map(|n| n.to_string()).collect();
        all.sort();
        assert_eq!((&a, &b), (&all, &all));
    }

    async fn a_job_waits_for_the_first_group_and_then_keeps_its_time(f: Fixture) {
        let record = Record::default();
        let due = f.now().plus_millis(5000);
        f.queues.enqueue("t.q", vec![job("now").id("n"), job("later").at(due)]).await.unwrap();
        f.queues.enqueue("t.q", vec![job("suppressed").id("n")]).await.unwrap();
        assert_eq!(f.queues.stats("t.q").await.unwrap().pending, 2);
        f.queues.consume("t.q", Consumer::each("t.g", record.handler())).await.unwrap();
        assert_eq!(record.wait(1).await, ["now"]);
        f.run_to(due).await;
        assert_eq!(record.wait(2).await, ["now", "later"]);
    }

    async fn a_panic_is_a_failed_attempt_and_the_loop_goes_on(f: Fixture) {
        let record = Record::default();
        let run = {
            let record = record.clone();
            handler(move |job| {
                record.add(text(&job));
                async move {
                    if text(&job) == "bad" { panic!("boom") }
                    Ok(())
                }
            })
        };
        f.queues.consume("t.q", Consumer::each("t.g", run).retries(Retries::Limited(0)).concurrency(1)).await.unwrap();
        f.queues.enqueue("t.q", vec![job("bad"), job("good")]).await.unwrap();
        assert_eq!(record.wait(2).await, ["bad", "good"]);
        eventually(async || f.queues.stats("t.q").await.unwrap().failed == 1, "the panic is a dead letter").await;
    }

    async fn plugins_19_20_a_schedule_ticks_on_its_grid_and_an_update_drops_what_is_pending(f: Fixture) {
        let (record, start) = (Record::default(), f.now());
        let every = |ms: u64, data: &str| Recurring {
            job_id: "t.beat".into(),
            data: json!(data),
            schedule: Schedule::IntervalMs(ms),
            start_delay: None,
            priority: 0,
            skip_overlap: false,
        };
        let run = {
            let record = record.clone();
            handler(move |job| {
                record.add(format!("{} {} {}", text(&job), job.job_id, job.due_at));
                async { Ok(()) }
            })
        };
        f.busy_group("t.q").await;
        let pending = async || f.queues.stats("t.q").await.unwrap().pending;
        let consumer = f.queues.consume("t.q", Consumer::each("t.g", run.clone())).await.unwrap();
        f.queues.schedule("t.q", every(10_000, "slow")).await.unwrap();
        let at = |s: i64| start.plus_millis(s * 1000);
        assert_eq!(record.wait(1).await, [format!("slow t.beat@{0} {0}", at(0))]);
        f.run_to(at(10)).await;
        assert_eq!(record.wait(2).await[1], format!("slow t.beat@{0} {0}", at(10)));
        // The same settings again change nothing; new ones start anew.
        f.queues.schedule("t.q", every(10_000, "slow")).await.unwrap();
        let details = f.queues.recurring_details("t.q", "t.beat").await.unwrap().unwrap();
        assert_eq!((details.next_at, details.schedule), (at(20), Schedule::IntervalMs(10_000)));
        assert_eq!(pending().await, 2, "those of the busy group");
        consumer.unsubscribe().await;
        let mut delayed = every(3000, "fast");
        delayed.start_delay = Some(SECOND);
        f.queues.schedule("t.q", delayed).await.unwrap();
        assert_eq!(pending().await, 0, "the old ticks are gone");
        f.queues.consume("t.q", Consumer::each("t.g", run)).await.unwrap();
        for (n, second) in [(3, 11), (4, 14), (5, 17)] {
            f.run_to(at(second)).await;
            assert_eq!(record.wait(n).await[n - 1], format!("fast t.beat@{0} {0}", at(second)));
        }
        assert_eq!(pending().await, 3);
        f.queues.cancel_recurring("t.q", "t.beat").await.unwrap();
        assert_eq!(pending().await, 0, "its ticks are gone");
        f.queues.cancel_recurring("t.q", "t.unknown").await.unwrap();
        assert_eq!(f.queues.list_recurring("t.q").await.unwrap(), []);
        f.clock.advance(Duration::from_secs(60));
        assert!(stays(async || record.len() == 5).await);
    }

    async fn plugins_19_20_a_bad_schedule_is_an_error_at_the_call(f: Fixture) {
        for schedule in [Schedule::IntervalMs(999), Schedule::Cron("every day".into()), Schedule::Cron("* * * * * *".into())] {
            let bad = Recurring {
                job_id: "t.bad".into(),
                data: json!(null),
                schedule,
                start_delay: None,
                priority: 0,
                skip_overlap: false,
            };
            let error = f.queues.schedule("t.q", bad).await.unwrap_err();
            assert!(matches!(&error, QueueError::Schedule { job_id, .. } if job_id == "t.bad"), "{error}");
            assert!(error.to_string().contains("write"), "{error}");
        }
        assert_eq!(f.queues.list_recurring("t.q").await.unwrap(), []);
    }

    async fn a_tick_that_must_not_overlap_is_skipped_while_its_predecessor_runs(f: Fixture) {
        let (record, gate, start) = (Record::default(), Arc::new(Semaphore::new(0)), f.now());
        let run = {
            let (record, gate) = (record.clone(), gate.clone());
            handler(move |job| {
                let gate = gate.clone();
                record.add(((job.due_at.millis() - start.millis()) / 1000).to_string());
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(())
                }
            })
        };
        f.queues.consume("t.q", Consumer::each("t.g", run)).await.unwrap();
        let beat = Recurring {
            job_id: "t.beat".into(),
            data: json!(null),
            schedule: Schedule::IntervalMs(2000),
            start_delay: None,
            priority: 0,
            skip_overlap: true,
        };
        f.queues.schedule("t.q", beat).await.unwrap();
        record.wait(1).await;
        for second in [2, 4] {
            f.run_to(start.plus_millis(second * 1000)).await;
        }
        let next = async || f.queues.recurring_details("t.q", "t.beat").await.unwrap().unwrap().next_at;
        eventually(async || next().await == start.plus_millis(6000), "the skipped ticks have passed").await;
        gate.add_permits(10);
        eventually(async || f.queues.stats("t.q").await.unwrap().completed == 1, "the first ends").await;
        f.run_to(start.plus_millis(6000)).await;
        assert_eq!(record.wait(2).await, ["0", "6"]);
    }

    async fn a_group_that_does_not_take_its_tick_keeps_no_other_group_from_the_next(f: Fixture) {
        let (record, start) = (Record::default(), f.now());
        f.busy_group("t.q").await;
        f.queues.consume("t.q", Consumer::each("t.g", record.handler())).await.unwrap();
        let beat = Recurring {
            job_id: "t.beat".into(),
            data: json!("tick"),
            schedule: Schedule::IntervalMs(2000),
            start_delay: None,
            priority: 0,
            skip_overlap: true,
        };
        f.queues.schedule("t.q", beat).await.unwrap();
        for n in 1..=3 {
            record.wait(n).await;
            eventually(async || f.queues.stats("t.q").await.unwrap().completed == n as u64, "it is handled").await;
            f.run_to(start.plus_millis(n as i64 * 2000)).await;
        }
        record.wait(4).await;
        eventually(async || f.queues.stats("t.q").await.unwrap().pending == 1, "the busy group has only the first").await;
    }

    async fn a_recurring_job_that_a_wrong_clock_sent_far_ahead_comes_back_when_it_is_scheduled_again(f: Fixture) {
        let start = f.now();
        for (schedule, next_at) in [
            (Schedule::IntervalMs(10_000), start),
            (Schedule::Cron("*/5 * * * *".into()), start.plus_millis(300_000)),
        ] {
            let beat = Recurring {
                job_id: "t.beat".into(),
                data: json!(null),
                schedule,
                start_delay: None,
                priority: 0,
                skip_overlap: false,
            };
            f.clock.set(Ts::parse("2036-01-15T12:00:00Z").unwrap());
            f.queues.schedule("t.q", beat.clone()).await.unwrap();
            f.clock.set(start);
            f.queues.schedule("t.q", beat).await.unwrap();
            let details = f.queues.recurring_details("t.q", "t.beat").await.unwrap();
            assert_eq!(details.unwrap().next_at, next_at);
        }
    }

    async fn a_job_that_fails_at_a_worker_that_stops_is_retried_in_time_by_another(f: Fixture) {
        let (record, gate, start) = (Record::default(), Arc::new(Semaphore::new(0)), f.now());
        let fails = {
            let (record, gate) = (record.clone(), gate.clone());
            handler(move |job| {
                record.add(format!("first {} {}", text(&job), job.attempt));
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    Err(JobError::retry("not here"))
                }
            })
        };
        let takes_over = {
            let record = record.clone();
            handler(move |job| {
                record.add(format!("second {} {}", text(&job), job.attempt));
                async { Ok(()) }
            })
        };
        let first = f.queues.consume("t.q", Consumer::each("t.g", fails).concurrency(1)).await.unwrap();
        f.queues.enqueue("t.q", vec![job("x")]).await.unwrap();
        record.wait(1).await;
        let second = f.second_node();
        second.consume("t.q", Consumer::each("t.g", takes_over)).await.unwrap();
        f.queues.enqueue("t.q", vec![job("y")]).await.unwrap();
        record.wait(2).await;
        eventually(async || second.stats("t.q").await.unwrap().completed == 1, "the second has looked around").await;
        first.unsubscribe().await;
        gate.add_permits(1);
        f.run_to(start.plus_millis(1000)).await;
        assert_eq!(record.wait(3).await, ["first x 1", "second y 1", "second x 2"]);
    }

    async fn only_what_is_due_waits_with_or_without_a_group(f: Fixture) {
        let (start, later) = (f.now(), f.now().plus_millis(5000));
        f.queues.enqueue("t.nobody", vec![job("due"), job("delayed").at(later)]).await.unwrap();
        f.queues.enqueue("t.later", vec![job("delayed").at(later)]).await.unwrap();
        let depths = async || -> Vec<_> {
            let depths = f.queues.depths().await.unwrap().into_iter();
            depths.map(|d| (d.queue, d.waiting, d.oldest)).collect()
        };
        assert_eq!(depths().await, [("t.nobody".into(), 1, start)]);
        f.clock.set(later);
        assert_eq!(depths().await, [("t.later".into(), 1, later), ("t.nobody".into(), 2, start)]);
    }

    async fn plugins_19_22_stop_waits_for_the_handler_and_takes_no_new_job(f: Fixture) {
        let (record, gate) = (Record::default(), Arc::new(Semaphore::new(0)));
        let run = {
            let (record, gate) = (record.clone(), gate.clone());
            handler(move |job| {
                let (record, gate) = (record.clone(), gate.clone());
                async move {
                    gate.acquire().await.unwrap().forget();
                    record.add(text(&job));
                    Ok(())
                }
            })
        };
        f.queues.consume("t.q", Consumer::each("t.g", run).concurrency(1)).await.unwrap();
        f.queues.enqueue("t.q", vec![job("running"), job("waiting")]).await.unwrap();
        eventually(async || f.queues.in_flight("t.q") == 1, "the handler runs").await;
        let stop = {
            let queues = f.queues.clone();
            plugin_api::spawn(async move { queues.stop().await })
        };
        assert!(stays(async || !stop.is_finished()).await);
        gate.add_permits(1);
        within(stop, "stop ends with the handler").await.unwrap();
        assert_eq!(record.all(), ["running"]);
        assert_eq!(f.queues.in_flight("t.q"), 0);
        gate.add_permits(1);
        assert!(stays(async || record.len() == 1).await);
        let stats = f.queues.stats("t.q").await.unwrap();
        assert_eq!((stats.pending, stats.processing, stats.completed), (1, 0, 1));
    }

    async fn plugins_19_22_stop_ends_a_handler_after_30_s_and_gives_its_job_back(f: Fixture) {
        let (record, start) = (Record::default(), f.now());
        f.queues.consume("t.q", Consumer::each("t.g", record.stuck())).await.unwrap();
        f.queues.enqueue("t.q", vec![job("x")]).await.unwrap();
        record.wait(1).await;
        let stop = {
            let queues = f.queues.clone();
            plugin_api::spawn(async move { queues.stop().await })
        };
        advance_until(&f.clock, Duration::from_secs(10), async || stop.is_finished(), "stop ends").await;
        assert_eq!(record.wait(2).await, ["x 1", "ended"]);
        assert!(f.now() >= start.plus_millis(30_000));
        let stats = f.queues.stats("t.q").await.unwrap();
        assert_eq!((stats.pending, stats.processing, f.queues.in_flight("t.q")), (1, 0, 0));
        let refused = f.queues.consume("t.q", Consumer::each("t.g", record.handler())).await;
        assert!(refused.err().unwrap().to_string().contains("stopped"));
    }

    async fn a_consumer_without_a_group_is_refused(f: Fixture) {
        let refused = f.queues.consume("t.q", Consumer::each(" ", Record::default().handler())).await;
        assert!(matches!(refused.err(), Some(QueueError::Refused { .. })));
        f.queues.test_connection().await.unwrap();
    }
}
