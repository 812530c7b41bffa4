//! HTTP routes as plugins declare them, in the form of `api §1`: rules enforced centrally, errors as
//! problem documents, pages with opaque cursors, unknown request fields refused.

mod body;
mod page;
pub mod patch;
mod problem;
mod query;
mod request_id;
mod routes;

pub use body::{ApiJson, MediaType, parse_body, read_body};
pub use page::{Counted, Cursor, Page, PageQuery, fingerprint};
pub use problem::{FieldError, Problem};
pub use query::ApiQuery;
pub use request_id::{request_id, with_request_id};
pub use routes::{RouteInfo, Routes};
