//! Speed of the expression language, on the four recorded workloads.
//!
//! Each is measured twice: evaluating a program parsed once, which is what dispatch does, and parsing and evaluating the
//! source every time, which is what the playground does. A figure is the best of a few slices, since whatever else the
//! machine does can only make a slice slower. Beside each stands what the reference reached.

use crate::{
    report::{Figure, Row},
    stopwatch::Moment,
};
use serde_json::Value as Json;
use std::{hint::black_box, time::Duration};
use template_engine::{Env, Expression, Filters, Template};

/// Best of two JavaScript runtimes on a two-core machine: pre-parsed, and parse and run.
const REFERENCE: [(&str, f64, f64); 4] = [
    ("simple_compare", 31e6, 820e3),
    ("member_filter", 6.2e6, 470e3),
    ("bool_10_terms", 2.3e6, 63e3),
    ("template_2k_20", 0.33e6, 28e3),
];

/// How many slices a measurement is divided into.
const SLICES: u32 = 8;

#[derive(serde::Deserialize)]
struct Recorded {
    scope: Json,
    workloads: Vec<Workload>,
}

#[derive(serde::Deserialize)]
struct Workload {
    name: String,
    mode: String,
    source: String,
    #[serde(default)]
    expect: Json,
}

/// Measures every workload, each of its two ways for `seconds_each`.
///
/// # Errors
/// When the recorded workloads cannot be read, or one gives another answer than recorded.
pub fn rows(seconds_each: f64) -> anyhow::Result<Vec<Row>> {
    let recorded = include_str!("../../template-engine/cases/bench-template.json");
    let Recorded { scope, workloads } = serde_json::from_str(recorded)?;
    let filters = Filters::default();
    let env = Env::new(&filters, "2026-05-30T12:00:00Z".parse()?);
    let slice = Duration::from_secs_f64(seconds_each / f64::from(SLICES));
    let mut rows = Vec::new();
    for workload in &workloads {
        let (evaluate, parse_and_run) = match workload.mode.as_str() {
            "template" => measure_template(workload, &scope, &env, slice)?,
            _ => measure_expression(workload, &scope, &env, slice)?,
        };
        let reference = REFERENCE.iter().find(|(name, ..)| *name == workload.name);
        let reference = reference.copied().unwrap_or(("", f64::NAN, f64::NAN));
        rows.push(
            Row::new("template", &workload.name, "")
                .with(
                    Figure::new("parsed before", evaluate, "1/s")
                        .beside("the reference", reference.1)
                        .at_least_of_floor(2.0),
                )
                .with(
                    Figure::new("parsed each time", parse_and_run, "1/s")
                        .beside("the reference", reference.2)
                        .at_least_of_floor(10.0),
                ),
        );
    }
    Ok(rows)
}

fn measure_expression(
    workload: &Workload,
    scope: &Json,
    env: &Env<'_>,
    slice: Duration,
) -> anyhow::Result<(f64, f64)> {
    let source = workload.source.as_str();
    let program = Expression::parse(source)?;
    let answer = program.evaluate(scope, env)?.into_json();
    anyhow::ensure!(
        answer.as_ref() == Some(&workload.expect),
        "{} answers {answer:?}",
        workload.name
    );
    let evaluate = rate(slice, || {
        let _ = black_box(black_box(&program).evaluate(black_box(scope), env));
    });
    let parse_and_run = rate(slice, || {
        if let Ok(program) = Expression::parse(black_box(source)) {
            let _ = black_box(program.evaluate(black_box(scope), env));
        }
    });
    Ok((evaluate, parse_and_run))
}

fn measure_template(
    workload: &Workload,
    scope: &Json,
    env: &Env<'_>,
    slice: Duration,
) -> anyhow::Result<(f64, f64)> {
    let source = workload.source.as_str();
    let program = Template::parse(source)?;
    let text = program.render(scope, env)?;
    let expected = workload.expect.as_str().unwrap_or(&text);
    anyhow::ensure!(
        text == expected && text.contains("unhealthy"),
        "{} answers {text:?}",
        workload.name
    );
    let evaluate = rate(slice, || {
        let _ = black_box(black_box(&program).render(black_box(scope), env));
    });
    let parse_and_run = rate(slice, || {
        if let Ok(program) = Template::parse(black_box(source)) {
            let _ = black_box(program.render(black_box(scope), env));
        }
    });
    Ok((evaluate, parse_and_run))
}

/// How often per second `work` runs, in the best of the slices.
fn rate(slice: Duration, mut work: impl FnMut()) -> f64 {
    // Enough runs between two looks at the clock that looking costs nothing.
    const BATCH: u32 = 500;
    let mut best = 0f64;
    for _ in 0..SLICES {
        let started = Moment::now();
        let mut runs = 0u64;
        let elapsed = loop {
            for _ in 0..BATCH {
                work();
            }
            runs += u64::from(BATCH);
            let elapsed = started.elapsed();
            if elapsed >= slice {
                break elapsed;
            }
        };
        best = best.max(runs as f64 / elapsed.as_secs_f64());
    }
    best
}
