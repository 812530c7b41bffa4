//! `apply` and `validate`: nothing is written unless everything can be, and applying twice changes
//! nothing.

use crate::support::{Server, binary};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Output, time::Duration};
use test_kit::eventually_within;

/// A server with a folder of documents.
struct World {
    dir: tempfile::TempDir,
    server: Server,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let server = Server::start(&dir.path().join("data"), None).await;
        Self { dir, server }
    }

    fn file(&self, name: &str, text: &str) -> String {
        write(self.dir.path(), name, text)
    }

    fn apply(&self, path: &str) -> Output {
        binary()
            .args(["apply", "--yes", "--server"])
            .arg(format!("http://{}", self.server.address))
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .arg(path)
            .output()
            .expect("the binary runs")
    }

    /// A command about the server, whose flags come last, after a subcommand too.
    fn tell(&self, args: &[&str]) -> String {
        let out = binary()
            .args(args)
            .arg("--server")
            .arg(format!("http://{}", self.server.address))
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .output()
            .expect("the binary runs");
        assert!(out.status.success(), "{args:?}: {}", said(&out));
        said(&out)
    }

    /// Applies and answers what was said; must succeed.
    fn applied(&self, path: &str) -> String {
        let out = self.apply(path);
        assert!(out.status.success(), "{}", said(&out));
        said(&out)
    }

    async fn get(&self, path: &str) -> Value {
        self.server.client().get(path).await.expect("an answer")
    }

    /// Names of everything that can be applied.
    async fn stored(&self) -> Vec<String> {
        let mut names = Vec::new();
        for path in ["/systems", "/checks", "/automations"] {
            let items = self.server.client().all(path).await.expect("a list");
            names.extend(
                items
                    .iter()
                    .map(|i| i["name"].as_str().unwrap_or("").to_owned()),
            );
        }
        names
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn said(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn validate(path: &str) -> Output {
    let out = binary().args(["validate", path]).output();
    out.expect("the binary runs")
}

fn document(kind: &str, metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: signalbox.dev/v1\nkind: {kind}\nmetadata: {{ {metadata} }}\nspec: {spec}\n"
    )
}

const CHECK: &str = "{ strategy: tcp, intervalSeconds: 60, config: { host: 127.0.0.1, port: 9 } }";
const AUTOMATION: &str = "{ triggers: [{ event: healthcheck.system_degraded }], actions: [] }";

fn check(name: &str) -> String {
    document("Healthcheck", &format!("name: {name}"), CHECK)
}

fn watched(entry: &str) -> String {
    let spec = format!("{{ healthcheck: [{entry}] }}");
    document("System", "name: bad", &spec)
}

/// Documents of which the last has one error: with its place and what the message says.
fn bad_documents() -> Vec<(String, &'static str, Vec<&'static str>)> {
    let join = |parts: &[String]| parts.join("---\n");
    let good = [document("System", "name: good", "{}"), check("probe")];
    let after_good = |bad: String| join(&[good[0].clone(), good[1].clone(), bad]);
    let thresholds = |text: &str| {
        after_good(watched(&format!(
            "{{ ref: {{ kind: Healthcheck, name: probe }}, {text} }}"
        )))
    };
    let automation = |metadata: String| after_good(document("Automation", &metadata, AUTOMATION));
    let system = |metadata: String| after_good(document("System", &metadata, "{}"));
    let long = "x".repeat(250);
    let longer = "x".repeat(3000);
    vec![
        (
            thresholds("degradedThreshold: 5, unhealthyThreshold: 2"),
            "14:",
            vec!["unhealthyThreshold (2)", "degradedThreshold (5)"],
        ),
        (
            thresholds("degradedThreshold: two"),
            "14:",
            vec!["wrong_type", "found text"],
        ),
        (
            thresholds("degradedThreshold: 0"),
            "14:",
            vec!["degradedThreshold is 0"],
        ),
        (
            thresholds("unhealthyThreshold: 1000"),
            "14:",
            vec!["unhealthyThreshold is 1000"],
        ),
        (
            thresholds("degradedThresold: 5"),
            "14:",
            vec!["unknown_field", "did you mean degradedThreshold?"],
        ),
        (
            after_good(watched("{ ref: { kind: Healthcheck, nme: probe } }")),
            "14:",
            vec!["unknown_field", "did you mean name?"],
        ),
        (
            after_good(watched(
                "{ ref: { kind: Healthcheck, name: probe } }, { ref: { kind: Healthcheck, name: probe } }",
            )),
            "14:",
            vec!["duplicate_reference"],
        ),
        (
            system("name: bad, title: GOOD".into()),
            "13:",
            vec!["duplicate_name", "System good"],
        ),
        (
            system(format!("name: bad, title: {longer}")),
            "13:",
            vec!["1 to 200 characters"],
        ),
        (
            system("name: bad, title: \"  \"".into()),
            "13:",
            vec!["1 to 200 characters"],
        ),
        (
            system("name: bad, tags: nope".into()),
            "13:",
            vec!["wrong_type", "a list of texts"],
        ),
        (
            automation(format!("name: bad, title: {long}")),
            "13:",
            vec!["bad_length"],
        ),
        (
            automation(format!(
                "name: bad, labels: {{ group: {} }}",
                "g".repeat(130)
            )),
            "13:",
            vec!["bad_length", "120"],
        ),
        (
            automation("name: bad, labels: { enabled: \"no\" }".into()),
            "13:",
            vec!["bad_enum", "\"true\" or \"false\""],
        ),
        (
            after_good(document(
                "Healthcheck",
                "name: bad",
                "{ strategy: tcp, intervalSeconds: 60, config: { host: h, port: 9 }, collectors: nope }",
            )),
            "14:",
            vec!["must be a list", "spec.collectors"],
        ),
        (
            after_good(document(
                "Healthcheck",
                "name: bad",
                "{ strategy: tcp, intervalSeconds: 99999999999, config: { host: h, port: 9 } }",
            )),
            "14:",
            vec!["from 1 to 31536000", "spec.intervalSeconds"],
        ),
        (
            after_good(document("Healthcheck", "name: bad, title: Probe", CHECK)),
            "13:",
            vec!["duplicate_name"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_the_server_would_refuse_stops_everything_before_anything() {
    let w = World::start().await;
    for (i, (text, line, expected)) in bad_documents().into_iter().enumerate() {
        let name = format!("bad-{i}.yaml");
        let path = w.file(&name, &text);
        let place = format!("{name}:{line}");
        for (command, out) in [("validate", validate(&path)), ("apply", w.apply(&path))] {
            let said = said(&out);
            assert!(!out.status.success(), "{command} of\n{text}\n{said}");
            for part in expected.iter().chain([&place.as_str()]) {
                assert!(said.contains(part), "{command} must say {part:?}:\n{said}");
            }
            assert!(!said.contains("stopped after"), "{said}");
        }
    }
    assert_eq!(
        w.stored().await,
        Vec::<String>::new(),
        "nothing was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_on_the_server_is_found_before_the_first_write() {
    let w = World::start().await;
    let client = w.server.client();
    let put = |path: &'static str, body: Value| {
        let client = client.clone();
        async move {
            client
                .call(reqwest::Method::PUT, path, Some(&body))
                .await
                .expect("stored")
        }
    };
    put("/systems/other", json!({"name": "Payments"})).await;
    let tcp =
        json!({"strategy": "tcp", "interval_seconds": 60, "config": {"host": "h", "port": 1}});
    put("/checks/By%20hand", tcp).await;
    let before = w.stored().await;
    let good = document("System", "name: good", "{}");
    let taken = [
        (
            document("System", "name: bad, title: PAYMENTS", "{}"),
            "name_taken",
        ),
        (
            document("Healthcheck", "name: bad, title: by hand", CHECK),
            "name_taken",
        ),
        (
            watched("{ ref: { kind: Healthcheck, name: nowhere } }"),
            "unresolved_reference",
        ),
    ];
    for (i, (bad, code)) in taken.into_iter().enumerate() {
        let name = format!("taken-{i}.yaml");
        let path = w.file(&name, &[good.clone(), bad].join("---\n"));
        let out = w.apply(&path);
        let text = said(&out);
        assert!(!out.status.success() && text.contains(code), "{text}");
        assert!(text.contains(&format!("{name}:")), "{text}");
    }
    assert_eq!(w.stored().await, before, "nothing was written");

    // A check that only the server has is no error offline, and none at all where it is.
    let path = w.file(
        "ref.yaml",
        &watched("{ ref: { kind: Healthcheck, name: by hand } }"),
    );
    let out = validate(&path);
    assert!(
        out.status.success() && said(&out).contains("warning[unresolved_reference]"),
        "{}",
        said(&out)
    );
    assert!(
        w.applied(&path).contains("assigned"),
        "the check of the server is found"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_changes_nothing_and_what_is_left_out_goes_back_to_its_default() {
    let w = World::start().await;
    let described = "{ description: From the definition., triggers: [{ event: healthcheck.system_degraded }], actions: [] }";
    let all = |check_title: &str, entry: &str| {
        [
            document(
                "Healthcheck",
                &format!("name: probe, title: {check_title}"),
                CHECK,
            ),
            document(
                "System",
                "name: shop, title: \" The shop \", description: Sells.",
                &format!(
                    "{{ healthcheck: [{{ ref: {{ kind: Healthcheck, name: probe }}{entry} }}] }}"
                ),
            ),
            document(
                "Automation",
                "name: a, title: An automation, labels: { group: \" Ops \" }",
                described,
            ),
        ]
        .join("---\n")
    };
    let path = w.file(
        "all.yaml",
        &all(
            "Probes the shop",
            ", degradedThreshold: 7, unhealthyThreshold: 9",
        ),
    );
    let first = w.applied(&path);
    assert!(first.contains("assigned   System shop ← probe"), "{first}");
    assert!(first.contains("Applied 4 changes."), "{first}");
    let automation = |list: Value| list["items"][0].clone();
    let stored = automation(w.get("/automations?view=full").await);
    assert_eq!(stored["description"], json!("From the definition."));
    assert_eq!(
        w.get("/checks").await["items"][0]["name"],
        json!("Probes the shop")
    );
    let again = w.applied(&path);
    assert!(again.contains("Nothing to change."), "{again}");
    assert_eq!(automation(w.get("/automations?view=full").await), stored);

    // A new title is a new name of the same check, and thresholds left out are the defaults.
    let before = w.get("/checks").await["items"][0]["id"].clone();
    let path = w.file("all.yaml", &all("Looks at the shop", ""));
    let changed = w.applied(&path);
    assert!(
        changed.contains("updated    Healthcheck probe (name)"),
        "{changed}"
    );
    assert!(
        changed.contains("System shop ← probe (state_thresholds)"),
        "{changed}"
    );
    let checks = w.get("/checks").await["items"].clone();
    assert_eq!(
        (&checks[0]["id"], &checks[0]["name"], checks.get(1)),
        (&before, &json!("Looks at the shop"), None)
    );
    let assigned = w.get("/systems/shop/checks").await["items"][0].clone();
    assert_eq!(
        assigned["state_thresholds"]["degraded"]["minFailureCount"],
        json!(2)
    );
    assert!(w.applied(&path).contains("Nothing to change."));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_shows_an_automation_as_a_document_and_takes_the_name_of_it() {
    let w = World::start().await;
    let spec = "{ description: Waits., mode: queued, triggers: [{ event: automation.interval, config: { intervalSeconds: 3600 } }], actions: [{ id: hold, wait_for_trigger: { event: incident.resolved, context_key: i-1, timeout_seconds: 600 } }] }";
    let metadata = "name: patient, title: \"A patient one: it waits\", labels: { group: Ops }";
    let path = w.file("a.yaml", &document("Automation", metadata, spec));
    w.applied(&path);
    let shown = |w: &World| {
        let text = w.tell(&["automations", "show", "patient"]);
        let path = w.file("shown.yaml", &text);
        let out = validate(&path);
        assert!(out.status.success(), "{}\n{text}", said(&out));
        assert!(
            w.applied(&path).contains("Nothing to change."),
            "applying what is shown changes nothing:\n{text}"
        );
        text
    };
    let switched_off = "enabled: \"false\"";
    assert!(!shown(&w).contains(switched_off));

    let payload = r#"{"firedAt": "2026-01-15T12:00:00.000Z"}"#;
    let started = w.tell(&["automations", "run", "patient", "--payload", payload]);
    let run = started
        .trim()
        .trim_start_matches("Started run ")
        .trim_end_matches('.')
        .to_owned();
    let waits = "waits for incident.resolved for i-1, until 20";
    let show = || w.tell(&["runs", "show", &run]);
    eventually_within(
        Duration::from_secs(20),
        async || show().contains(waits),
        "the run tells what it waits for",
    )
    .await;
    assert!(show().contains("of A patient one: it waits (automation "));
    assert!(w.tell(&["runs", "--automation", "patient"]).contains(&run));
    let cancel = || w.tell(&["runs", "cancel", &run, "--reason", "enough"]);
    assert!(cancel().contains(" is cancelled."));
    assert!(cancel().contains(" had already ended: cancelled."));
    assert!(show().contains("cancelled_by_operator: enough"));

    w.tell(&["automations", "disable", "patient"]);
    assert!(shown(&w).contains(switched_off));
    let list = w.tell(&["automations", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list["items"][0]["managed_by"], json!("apply:patient"));
    assert!(w.tell(&["why", "patient"]).contains("is disabled"));
    w.tell(&["automations", "delete", "patient"]);
    assert_eq!(w.stored().await, Vec::<String>::new());
}
