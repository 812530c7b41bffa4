//! What holds for every route (`api §1`).

use crate::support::Server;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use signalbox::token;

struct World {
    _dir: tempfile::TempDir,
    server: Server,
    token: String,
    http: reqwest::Client,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        let server = Server::start(&data, None).await;
        let token = token::read_admin_token(&data).expect("the token");
        Self {
            _dir: dir,
            server,
            token,
            http: reqwest::Client::new(),
        }
    }
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/v1{path}", self.server.address);
        self.http.request(method, url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_id_of_its_request() {
    let w = World::start().await;
    let ask = async |id: Option<&str>| -> (String, Value) {
        let mut request = w.request(Method::GET, "/nothing");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answer = request.send().await.expect("an answer");
        let id = answer.headers()["x-request-id"].to_str().expect("text");
        (
            id.to_owned(),
            answer.json().await.expect("a problem document"),
        )
    };
    let (one, problem) = ask(None).await;
    assert_eq!(problem["instance"], json!(one));
    assert_ne!(ask(None).await.0, one, "each request has its own");
    let (given, problem) = ask(Some("trace-1.a_B")).await;
    assert_eq!(
        (given.as_str(), &problem["instance"]),
        ("trace-1.a_B", &json!("trace-1.a_B"))
    );
    // One that could forge a line of the log is replaced.
    let (replaced, _) = ask(Some("a b=\"c\"")).await;
    assert!(!replaced.contains(' '), "{replaced}");
    let fine = w.request(Method::GET, "/status").bearer_auth(&w.token);
    let fine = fine.send().await.expect("an answer");
    assert!(fine.status().is_success() && fine.headers().contains_key("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_is_read_in_any_case_and_a_star_matches_any_version() {
    let w = World::start().await;
    let send = async |request: RequestBuilder| -> (u16, Value) {
        let request = request.header("authorization", format!("bEARER {}", w.token));
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    };
    let definition =
        json!({"name": "a", "triggers": [{"event": "catalog.created"}], "actions": []});
    let create = w.request(Method::POST, "/automations");
    let (status, made) = send(create.json(&json!({"definition": definition}))).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/automations/{}", made["id"].as_str().expect("an id"));
    let rename = |name: &str| {
        let request = w.request(Method::PATCH, &path);
        request.json(&json!({"name": name}))
    };
    for (version, expected) in [
        ("*", 200),
        ("\"1\"", 412),
        ("\"2\"", 200),
        ("nonsense", 412),
    ] {
        let (status, answer) = send(rename(version).header("if-match", version)).await;
        assert_eq!(status, expected, "{version}: {answer}");
    }
    assert_eq!(send(rename("x")).await.0, 428);
    let (_, listed) = send(w.request(Method::GET, "/automations")).await;
    let item = &listed["items"][0];
    assert_eq!(
        (&item["health"], item.get("definition")),
        (&json!("ok"), None),
        "{item}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_said_about_which_routes_exist() {
    let w = World::start().await;
    let ask = async |method: &Method, path: &str, token: Option<&str>| {
        let mut request = w.request(method.clone(), path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let allow = answer.headers().get("allow").cloned();
        let problem: Value = answer.json().await.expect("a problem document");
        assert_eq!(problem["status"], status, "{method} {path}: {problem}");
        (status, problem["code"].clone(), allow)
    };
    for method in [Method::PUT, Method::OPTIONS, Method::TRACE, Method::DELETE] {
        for path in ["/automations", "/nothing"] {
            let (status, code, allow) = ask(&method, path, None).await;
            assert_eq!(
                (status, code, allow),
                (401, json!("unauthenticated"), None),
                "{method} {path}"
            );
        }
        let (status, code, allow) = ask(&method, "/automations", Some(&w.token)).await;
        assert_eq!((status, code), (405, json!("method_not_allowed")));
        let allow = allow.expect("which methods there are");
        for known in ["GET", "POST"] {
            assert!(allow.to_str().expect("text").contains(known), "{allow:?}");
        }
        let (status, code, _) = ask(&method, "/nothing", Some(&w.token)).await;
        assert_eq!((status, code), (404, json!("not_found")));
    }
    // Health needs no token, so everybody may know its methods.
    let url = format!("http://{}/healthz", w.server.address);
    let answer = w.http.post(url).send().await.expect("an answer");
    assert!(answer.headers().contains_key("allow"));
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.expect("a problem document");
    assert_eq!(
        (status, &problem["code"]),
        (405, &json!("method_not_allowed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn api_1_4_the_size_of_a_body_is_judged_behind_the_token() {
    let w = World::start().await;
    let body = |size: usize| format!("{{\"template\": \"{}\"}}", "x".repeat(size));
    let ask = async |body: String, token: Option<&str>| {
        let mut request = w.request(Method::POST, "/templates/render");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let request = request.header("content-type", "application/json");
        let answer = request.body(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await.expect("a document");
        (status, problem["code"].clone())
    };
    let large = 1024 * 1024;
    assert_eq!(
        ask(body(large), Some(&w.token)).await,
        (413, json!("payload_too_large"))
    );
    assert_eq!(
        ask(body(large), None).await,
        (401, json!("unauthenticated"))
    );
    assert_eq!(
        ask(body(large), Some("sb_nonsense")).await,
        (401, json!("unauthenticated"))
    );
}
