//! Bad input: a located, actionable message, a non-zero exit, nothing half-applied.

use crate::support::{Server, binary, free_address};
use std::{fs, path::Path, process::Output};

fn run(args: &[&str]) -> Output {
    binary().args(args).output().expect("the binary runs")
}

fn refused(args: &[&str], expected: &[&str]) {
    let out = run(args);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(!out.status.success(), "{args:?} must fail:\n{text}");
    for e in expected {
        assert!(text.contains(e), "{args:?} must say {e:?}:\n{text}");
    }
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn automation(spec: &str) -> String {
    format!(
        "apiVersion: signalbox.dev/v1\nkind: Automation\nmetadata: {{ name: a }}\nspec:\n{spec}"
    )
}

#[test]
fn documents_are_refused_with_their_source_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let check = |name: &str, text: &str, expected: &[&str]| {
        let path = file(dir.path(), name, text);
        let place = format!("{name}:");
        refused(
            &["validate", &path],
            &[expected, &[place.as_str()]].concat(),
        );
    };
    let trigger = "  triggers: [{ event: healthcheck.system_degraded }]\n";
    check(
        "unknown.yaml",
        &automation(&format!("{trigger}  actionz: []\n")),
        &["unknown_field", "actions"],
    );
    check(
        "type.yaml",
        &automation(&format!("{trigger}  actions: 5\n")),
        &["wrong_type"],
    );
    check(
        "duplicate.yaml",
        &automation(&format!("{trigger}  mode: single\n  mode: single\n")),
        &["duplicate_key"],
    );
    check(
        "expression.yaml",
        &automation("  triggers: [{ event: healthcheck.system_degraded, filter: \"a ==\" }]\n"),
        &["expression_syntax"],
    );
    check(
        "action.yaml",
        &automation(&format!(
            "{trigger}  actions: [{{ action: incident.creat, config: {{}} }}]\n"
        )),
        &["unknown_action", "incident.create"],
    );
    check(
        "kind.yaml",
        "apiVersion: signalbox.dev/v1\nkind: Sytem\nmetadata: { name: a }\n",
        &["bad_enum", "System"],
    );
}

#[test]
fn a_cli_command_whose_output_nobody_reads_ends_quietly() {
    let dir = tempfile::tempdir().expect("a folder");
    let requests = file(dir.path(), "requests", "{\"id\": 1}\n");
    for args in [["eval", "1"], ["eval", "--jsonl"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let out = binary()
            .args(args)
            .stdin(fs::File::open(&requests).expect("a file"))
            .stdout(writer)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!((out.status.code(), &*said), (Some(141), ""), "{args:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    refused(&["validate", "no-such-file.yaml"], &["no-such-file.yaml"]);
    refused(
        &["serve", "--config", "no-such-config.yaml"],
        &["no-such-config.yaml"],
    );
}

#[test]
fn a_broken_configuration_file_is_located() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = file(
        dir.path(),
        "signalbox.yaml",
        "listen: 127.0.0.1:0\ndatabase_ulr: x\n",
    );
    refused(
        &["serve", "--config", &path],
        &["signalbox.yaml:2", "database_url"],
    );
}

#[test]
fn an_unreachable_database_is_named_without_its_password() {
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("postgres://u:hunter2@{}/x", free_address());
    let out = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        dir.path().to_str().expect("UTF-8"),
        "--database-url",
        &url,
    ]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !out.status.success() && text.contains("postgres://u@127.0.0.1"),
        "{text}"
    );
    assert!(text.contains("refused"), "the cause is named: {text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_database_that_says_nothing_is_given_up_soon() {
    let dir = tempfile::tempdir().expect("a folder");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let url = format!("postgres://u@{address}/x");
    let folder = dir.path().to_str().expect("UTF-8");
    refused(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            folder,
            "--database-url",
            &url,
        ],
        &["no answer within 5 s", "postgres://u@127.0.0.1"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    refused(
        &[
            "serve",
            "--data-dir",
            dir.path().to_str().expect("UTF-8"),
            "--listen",
            &address,
        ],
        &[&address, "--listen"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_database_belongs_to_one_process_whatever_their_data_folders() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    let _server = Server::start(&data, None).await;
    let url = format!("sqlite://{}", data.join("signalbox.db").display());
    refused(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            other.to_str().expect("UTF-8"),
            "--database-url",
            &url,
        ],
        &["is in use by another signalbox process"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_writes_nothing_when_one_document_is_wrong() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let server = Server::start(&data, None).await;
    let text = "apiVersion: signalbox.dev/v1\nkind: System\nmetadata: { name: good }\n---\napiVersion: signalbox.dev/v1\nkind: Automation\nmetadata: { name: bad }\nspec: { triggers: [{ event: no.such_trigger }], actions: [] }\n";
    let path = file(dir.path(), "mixed.yaml", text);
    let address = format!("http://{}", server.address);
    refused(
        &[
            "apply",
            "--yes",
            "--server",
            &address,
            "--data-dir",
            data.to_str().expect("UTF-8"),
            &path,
        ],
        &["unknown_trigger", "mixed.yaml:8"],
    );
    assert_eq!(
        server
            .client()
            .find("/systems/good")
            .await
            .expect("an answer"),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_health_needs_a_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(&dir.path().join("data"), None).await;
    let http = reqwest::Client::new();
    let status = |path: &str| {
        let url = format!("http://{}{path}", server.address);
        let http = http.clone();
        async move {
            http.get(url)
                .send()
                .await
                .expect("an answer")
                .status()
                .as_u16()
        }
    };
    assert_eq!(
        (status("/healthz").await, status("/readyz").await),
        (200, 200)
    );
    assert_eq!(
        (
            status("/api/v1/systems").await,
            status("/api/v1/runs").await,
            status("/api/v1/nothing").await
        ),
        (401, 401, 401)
    );
}
