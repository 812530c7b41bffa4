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
