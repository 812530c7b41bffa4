//! Pages with opaque cursors (`api §1.8`): a cursor carries the sort key, the id and a fingerprint of
//! the filters, so that no item is skipped or repeated while others are inserted.

use super::Problem;
use crate::Ts;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A page of items.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The items, in the collection's fixed order.
    pub items: Vec<T>,
    /// Where the next page starts; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A page with the number of all items its filters let through, for lists that take `?count=true`.
#[derive(Debug, Serialize)]
pub struct Counted<T> {
    /// The page.
    #[serde(flatten)]
    pub page: Page<T>,
    /// How many items all pages have; absent unless it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// `?limit=` 1–200 (default 50) and `?cursor=`: the query of a route without filters; routes with
/// filters have the two fields in a type of their own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Page size, as text: [`PageQuery::limit`] says what is wrong with it.
    #[serde(default)]
    pub limit: Option<String>,
    /// From a previous page.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The page size.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit.as_deref().map(str::parse::<usize>) {
            None => Ok(50),
            Some(Ok(n @ 1..=200)) => Ok(n),
            Some(_) => Err(Problem::bad_parameter(
                "limit must be a whole number from 1 to 200",
            )),
        }
    }
    /// The cursor, checked against the filters in use.
    pub fn cursor(&self, filters: &str) -> Result<Option<Cursor>, Problem> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        let bad = Problem::bad_cursor;
        let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let (key, id, print): (String, String, String) =
            serde_json::from_slice(&raw).map_err(|_| bad())?;
        // No stored text has a NUL, and Postgres could not be asked for one.
        if print != filters || [&key, &id].iter().any(|t| t.contains('\0')) {
            return Err(bad());
        }
        Ok(Some(Cursor { key, id }))
    }
}

/// Milliseconds that a stored instant can have: up to the end of 9999.
const INSTANTS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The sort key of the last item.
    pub key: String,
    /// Its id, which breaks ties.
    pub id: String,
}

impl Cursor {
    /// The text sent to clients.
    pub fn encode(&self, filters: &str) -> String {
        URL_SAFE_NO_PAD
            .encode(serde_json::to_vec(&(&self.key, &self.id, filters)).expect("texts serialise"))
    }

    /// For lists in the order of an instant: the sort key as milliseconds, and the id.
    ///
    /// # Errors
    /// `bad_cursor` when they are something else, or an instant outside the years 1970 to 9999:
    /// Postgres cannot hold all that fits a number.
    pub fn instant_and_id<T: std::str::FromStr>(&self) -> Result<(Ts, T), Problem> {
        let millis = self.key.parse().ok().filter(|ms| INSTANTS.contains(ms));
        let id = self.id.parse().map_err(|_| Problem::bad_cursor())?;
        Ok((Ts::from_millis(millis.ok_or_else(Problem::bad_cursor)?), id))
    }
}

/// The fingerprint of a set of filters.
pub fn fingerprint(filters: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(filters).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..9])
}

impl<T> Page<T> {
    /// Cuts a list fetched with `limit + 1` rows to a page; `key` gives sort key and id of an item.
    pub fn cut(
        mut items: Vec<T>,
        limit: usize,
        filters: &str,
        key: impl Fn(&T) -> (String, String),
    ) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more {
            items.last().map(|i| {
                let (key, id) = key(i);
                Cursor { key, id }.encode(filters)
            })
        } else {
            None
        };
        Self { items, next_cursor }
    }
}
