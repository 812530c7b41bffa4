//! Runs the demo: a server, a failing service, the examples, and the story.

use super::{Outage, Service, Story, finished, snapshot, snapshot::SYSTEM, stuck};
use crate::{
    apply::{self, Source},
    cli::DemoArgs,
    client::Client,
    server,
    settings::{LogFormat, Settings, sqlite_url},
    token,
};
use anyhow::{Context, bail};
use plugin_api::Ts;
use std::{process::ExitCode, time::Duration};

/// The example documents, compiled in.
const EXAMPLES: [(&str, &str); 2] = [
    (
        "examples/payments.yaml",
        include_str!("../../../examples/payments.yaml"),
    ),
    (
        "examples/incident-on-outage.yaml",
        include_str!("../../../examples/incident-on-outage.yaml"),
    ),
];
/// The address the examples name; the demo's service has another.
const EXAMPLE_ADDRESS: &str = "127.0.0.1:8099";
const OUTAGE: Outage = Outage {
    after: Duration::from_secs(5),
    lasting: Duration::from_secs(12),
};
/// How long `--once` waits.
const LIMIT: Duration = Duration::from_secs(90);
/// How often the API is asked for news.
const GLANCE: Duration = Duration::from_millis(200);

/// Applies the examples to a server, with the checks pointed at `service`.
pub async fn apply_examples(client: &Client, service: &Service) -> anyhow::Result<()> {
    let address = service.address.to_string();
    let sources: Vec<Source> = EXAMPLES
        .iter()
        .map(|(name, text)| {
            apply::read_text((*name).to_owned(), text.replace(EXAMPLE_ADDRESS, &address))
        })
        .collect();
    let checked = apply::check(client, sources).await?;
    if let Some(report) = checked.errors(false) {
        bail!("the examples are not valid\n{report}");
    }
    apply::plan(client, &checked)
        .await?
        .carry_out(client, |_| {})
        .await
}

/// Runs the demo.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::tempdir().context("no temporary folder can be made")?;
    let data_dir = args
        .data_dir
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let database_url = match &args.database_url {
        Some(url) => url.clone(),
        None => sqlite_url(&data_dir)?,
    };
    let settings = Settings {
        data_dir,
        database_url,
        listen: args.listen.clone().unwrap_or_else(|| "127.0.0.1:0".into()),
        log: args.log.clone().unwrap_or_else(|| "error".into()),
        log_format: LogFormat::Text,
        sqlite_full_sync: false,
        max_connections: 10,
        guest: args.database_url.is_some(),
    };
    server::logging(&settings)?;
    let running = server::start(&settings).await?;
    let service = Service::start(running.clock(), OUTAGE).await?;
    // A token of this start: the administrator's, if there is one, is not the demo's business.
    let token = running.issue_token("demo").await?;
    if settings.guest && args.data_dir.is_none() {
        token::keep(&settings.data_dir, &token)?;
    }
    let told = tell(&running, &settings, &token, &service, args.once).await;
    running.revoke_token(&token).await?;
    running.stop().await;
    told
}

async fn tell(
    running: &server::Running,
    settings: &Settings,
    token: &str,
    service: &Service,
    once: bool,
) -> anyhow::Result<ExitCode> {
    let address = format!("http://{}", running.address);
    let client = Client::with_token(&address, token)?;
    let clock = running.clock();
    let begun = clock.now();
    say(
        clock.now(),
        "demo",
        &format!(
            "server at {address}, data in {}",
            settings.data_dir.display()
        ),
    );
    apply_examples(&client, service).await?;
    let (down, up) = service.outage();
    // Told in its turn: what applying caused may have happened before.
    let mut applied = vec![super::Line {
        at: clock.now(),
        who: "demo",
        text: format!(
            "applied examples/: {SYSTEM} is checked every second at http://{}/health",
            service.address
        ),
    }];
    let mut news = vec![(down, "starts to answer 503"), (up, "answers 200 again")];
    let mut story = Story::since(begun);
    let limit = begun.plus_millis(LIMIT.as_millis() as i64);
    let mut ended = false;
    loop {
        let state = snapshot(&client).await?.since(begun);
        let now = clock.now();
        let mut lines = story.tell(&state);
        lines.append(&mut applied);
        news.retain(|(at, text)| {
            let due = *at <= now;
            if due {
                lines.push(super::Line {
                    at: *at,
                    who: "service",
                    text: (*text).to_owned(),
                });
            }
            !due
        });
        let ends = finished(&state) && !ended;
        for l in story.in_order(lines, now, ends) {
            say(l.at, l.who, &l.text);
        }
        if ends {
            ended = true;
            let seconds = (now.millis() - begun.millis()) as f64 / 1000.0;
            say(
                now,
                "demo",
                &format!(
                    "the incident has been resolved, {seconds:.0} s after the examples were applied"
                ),
            );
            if once {
                return Ok(ExitCode::SUCCESS);
            }
            say(now, "demo", "the server goes on; stop it with ctrl-c");
        }
        if once && now > limit {
            for l in story.in_order(Vec::new(), now, true) {
                say(l.at, l.who, &l.text);
            }
            bail!(
                "the demo did not end within {} s: {}",
                LIMIT.as_secs(),
                stuck(&state)
            );
        }
        tokio::select! {
            () = clock.sleep(GLANCE) => {}
            _ = server::stop_signal() => return Ok(if once && !ended { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        }
    }
}

fn say(at: Ts, who: &str, text: &str) {
    let time = at.to_text();
    let time = time.get(11..23).unwrap_or(&time);
    println!("{time}  {who:<10}  {text}");
}
