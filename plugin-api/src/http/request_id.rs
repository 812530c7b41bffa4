//! The id of the request being answered: in the header `X-Request-Id`, as `instance` of a problem
//! document, and in the log line of a failure, so that one finds the other (`api §1.7`).

use std::future::Future;

tokio::task_local! {
    static ID: String;
}

/// Answers a request under an id.
pub async fn with_request_id<F: Future>(id: String, answer: F) -> F::Output {
    ID.scope(id, answer).await
}

/// The id of the request that the running task answers.
pub fn request_id() -> Option<String> {
    ID.try_with(Clone::clone).ok()
}
