//! Runs the demo: a server or several, a failing service, the examples, and the story.

use super::{
    Line, Outage, Service, Snapshot, Story, finished,
    nodes::{Nodes, Wanted},
    snapshot,
    snapshot::SYSTEM,
    stuck,
};
use crate::{
    apply::{self, Source},
    cli::DemoArgs,
    client::Client,
    server,
    settings::{
        DEFAULT_LEASE_SECONDS, DEFAULT_RECHECK_SECONDS, LogFormat, RetentionSettings, Settings,
        sqlite_url, without_password,
    },
    token,
};
use anyhow::{Context, bail};
use plugin_api::{Clock, SystemClock, Ts};
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

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
    let clock: Arc<dyn Clock> = SystemClock::new();
    let mut cast = if args.nodes > 1 {
        several(&args, data_dir, clock.clone()).await?
    } else {
        one(&args, data_dir, &*clock).await?
    };
    let service = Service::start(clock.clone(), OUTAGE).await?;
    let told = tokio::select! {
        told = tell(&mut cast, &service, &*clock, args.once) => told,
        _ = server::stop_signal() => Ok(if args.once { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    };
    cast.stop().await;
    told
}

/// Who plays: a server in this process, or nodes beside it.
enum Cast {
    One {
        running: server::Running,
        client: Client,
        token: String,
    },
    Nodes(Nodes),
}

/// A server in this process.
async fn one(args: &DemoArgs, data_dir: PathBuf, clock: &dyn Clock) -> anyhow::Result<Cast> {
    let database_url = match &args.database_url {
        Some(url) => url.clone(),
        None => sqlite_url(&data_dir)?,
    };
    let settings = Settings {
        data_dir,
        database_url,
        listen: args.listen.clone().unwrap_or_else(|| "127.0.0.1:0".into()),
        log: log(args),
        log_format: LogFormat::Text,
        sqlite_full_sync: false,
        max_connections: 10,
        lease_seconds: DEFAULT_LEASE_SECONDS,
        recheck_seconds: DEFAULT_RECHECK_SECONDS,
        retention: RetentionSettings::default(),
        healthcheck: Default::default(),
        guest: args.database_url.is_some(),
    };
    server::logging(&settings)?;
    let running = server::start(&settings).await?;
    let token = token::issue(running.database(), clock, "demo").await?;
    let address = format!("http://{}", running.address);
    say(
        clock.now(),
        "demo",
        &format!(
            "server at {address}, data in {}",
            settings.data_dir.display()
        ),
    );
    Ok(Cast::One {
        client: Client::with_token(&address, &token)?,
        running,
        token,
    })
}

/// Several nodes on one database.
async fn several(
    args: &DemoArgs,
    data_dir: PathBuf,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Cast> {
    let database_url = match &args.database_url {
        Some(url) if url.starts_with("postgres") => url.clone(),
        _ => bail!(
            "--nodes {} needs a Postgres database that the nodes share; name one with --database-url postgres://user@host/name. A SQLite file belongs to one process",
            args.nodes
        ),
    };
    if args.listen.is_some() {
        bail!("--listen names one address; with --nodes each node takes a free port");
    }
    let shown = without_password(&database_url);
    let nodes = Nodes::start(
        Wanted {
            count: args.nodes,
            data_dir,
            database_url,
            log: log(args),
        },
        clock.clone(),
    )
    .await?;
    for (name, address) in nodes.addresses() {
        say(
            clock.now(),
            name,
            &format!("is ready at {address}, on {shown}"),
        );
    }
    Ok(Cast::Nodes(nodes))
}

fn log(args: &DemoArgs) -> String {
    args.log.clone().unwrap_or_else(|| "error".into())
}

impl Cast {
    /// A server that lives.
    fn client(&self) -> &Client {
        match self {
            Cast::One { client, .. } => client,
            Cast::Nodes(nodes) => nodes.client(),
        }
    }

    /// What the nodes do, and what is done to them.
    async fn news(&mut self, state: &Snapshot) -> anyhow::Result<Vec<Line>> {
        match self {
            Cast::One { .. } => Ok(Vec::new()),
            Cast::Nodes(nodes) => nodes.news(state).await,
        }
    }

    async fn stop(self) {
        match self {
            Cast::One { running, token, .. } => {
                token::revoke(running.database(), &token).await.ok();
                running.stop().await;
            }
            Cast::Nodes(nodes) => nodes.stop().await,
        }
    }
}

async fn tell(
    cast: &mut Cast,
    service: &Service,
    clock: &dyn Clock,
    once: bool,
) -> anyhow::Result<ExitCode> {
    // On a database that has seen the demo before, the old story is over.
    let before = snapshot(cast.client()).await?;
    let past = before.over();
    let mut story = Story::default();
    story.tell(&before);
    apply_examples(cast.client(), service).await?;
    let (down, up) = service.outage();
    say(
        clock.now(),
        "demo",
        &format!(
            "applied examples/: {SYSTEM} is checked every second at http://{}/health",
            service.address
        ),
    );
    let mut news = vec![(down, "starts to answer 503"), (up, "answers 200 again")];
    let begun = clock.now();
    let limit = begun.plus_millis(LIMIT.as_millis() as i64);
    let mut ended = false;
    loop {
        let state = snapshot(cast.client()).await?.without(&past);
        let mut lines = story.tell(&state);
        lines.extend(cast.news(&state).await?);
        let now = clock.now();
        news.retain(|(at, text)| {
            let due = *at <= now;
            if due {
                lines.push(Line {
                    at: *at,
                    who: "service".into(),
                    text: (*text).to_owned(),
                });
            }
            !due
        });
        lines.sort_by_key(|l| l.at);
        for l in lines {
            say(l.at, &l.who, &l.text);
        }
        if finished(&state) && !ended {
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
            bail!(
                "the demo did not end within {} s: {}",
                LIMIT.as_secs(),
                stuck(&state)
            );
        }
        clock.sleep(GLANCE).await;
    }
}

fn say(at: Ts, who: &str, text: &str) {
    let time = at.to_text();
    let time = time.get(11..23).unwrap_or(&time);
    println!("{time}  {who:<10}  {text}");
}
