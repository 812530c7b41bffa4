//! Reading: single rows, filtered pages in a fixed total order, versions, and what a dispatch index
//! asks for.

use super::{
    Automation, AutomationStore, GroupCount, IndexRow, Status, StoreError, Summary, Version,
    VersionInfo, sql,
};
use crate::ids::AutomationId;
use plugin_api::{Doc, db::Query};
use std::collections::HashMap;

plugin_api::row! {
    struct Definition {
        id: AutomationId,
        definition: Doc,
    }
}

/// Which automations a list shows.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ListFilter {
    /// Only these.
    pub status: Option<Status>,
    /// Only of a group, or only ungrouped ones.
    pub group: Option<GroupFilter>,
    /// Only of this owner.
    pub managed_by: Option<String>,
    /// Only those with a trigger on this event (one dot).
    pub event: Option<String>,
    /// Only those with this provider action at any depth.
    pub action: Option<String>,
    /// Only those whose name contains this, case ignored.
    pub name_contains: Option<String>,
}

/// A filter on the group.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum GroupFilter {
    /// This one.
    Named(String),
    /// Those without.
    Ungrouped,
}

/// Where a page starts: behind the automation with this case-folded name and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAfter {
    /// [`Summary::sort_key`] of the last one.
    pub name_key: String,
    /// Its id.
    pub id: AutomationId,
}

impl Summary {
    /// What lists are ordered by before the id: the case-folded name.
    pub fn sort_key(&self) -> String {
        name_key(&self.name)
    }
}

pub(super) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// An id between the line breaks it is stored between.
fn between_breaks(id: &Option<String>) -> String {
    id.as_ref().map_or(String::new(), |id| format!("\n{id}\n"))
}

impl ListFilter {
    fn bind<'a>(&self, query: Query<'a>) -> Query<'a> {
        let group = match &self.group {
            None => String::new(),
            Some(GroupFilter::Ungrouped) => "-".to_owned(),
            Some(GroupFilter::Named(g)) => format!("={g}"),
        };
        query
            .bind(self.status.map_or("", Status::name).to_owned())
            .bind(group)
            .bind(self.managed_by.clone().unwrap_or_default())
            .bind(between_breaks(&self.event))
            .bind(between_breaks(&self.action))
            .bind(
                self.name_contains
                    .as_deref()
                    .map(name_key)
                    .unwrap_or_default(),
            )
    }
}

impl AutomationStore {
    /// One automation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: AutomationId) -> Result<Automation, StoreError> {
        let found = self.db.sql(sql::GET).bind(id).optional().await?;
        found.ok_or(StoreError::NotFound(id))
    }

    /// Up to `limit` automations in order of name (case-folded), then id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list(
        &self,
        filter: &ListFilter,
        after: Option<&PageAfter>,
        limit: usize,
    ) -> Result<Vec<Summary>, StoreError> {
        let (key, id) = match after {
            Some(a) => (a.name_key.clone(), a.id),
            None => (String::new(), AutomationId::from(uuid::Uuid::nil())),
        };
        let query = filter.bind(self.db.sql(sql::PAGE));
        Ok(query.bind(key).bind(id).bind(limit as i64).all().await?)
    }

    /// The present definitions of those that exist.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn definitions(
        &self,
        ids: &[AutomationId],
    ) -> Result<HashMap<AutomationId, serde_json::Value>, StoreError> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows: Vec<Definition> = self.db.sql(sql::DEFINITIONS).ids(&ids).all().await?;
        Ok(rows.into_iter().map(|r| (r.id, r.definition.0)).collect())
    }

    /// How many automations a filter shows.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count(&self, filter: &ListFilter) -> Result<i64, StoreError> {
        Ok(filter.bind(self.db.sql(sql::COUNT)).one().await?)
    }

    /// Groups with their sizes, in alphabetical order; ungrouped automations are not listed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn groups(&self) -> Result<Vec<GroupCount>, StoreError> {
        let mut groups: Vec<GroupCount> = self.db.sql(sql::GROUPS).all().await?;
        groups.sort_by(|a, b| {
            (a.group.to_lowercase(), &a.group).cmp(&(b.group.to_lowercase(), &b.group))
        });
        Ok(groups)
    }

    /// A stored version; none when it was pruned or never existed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn version(
        &self,
        id: AutomationId,
        version: i64,
    ) -> Result<Option<Version>, StoreError> {
        let query = self.db.sql(sql::VERSION).bind(id).bind(version);
        Ok(query.optional().await?)
    }

    /// Versions below a number, newest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn versions(
        &self,
        id: AutomationId,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>, StoreError> {
        let query = self.db.sql(sql::VERSIONS).bind(id);
        Ok(query
            .bind(below.unwrap_or(i64::MAX))
            .bind(limit as i64)
            .all()
            .await?)
    }

    /// The generation of the last committed change: equal to the last one seen means nothing
    /// changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn generation(&self) -> Result<i64, StoreError> {
        Ok(self.db.sql(sql::GENERATION).one().await?)
    }

    /// Rows changed since a generation, oldest change first, disabled ones included; 0 gives all.
    /// Read [`AutomationStore::generation`] first and remember that one: a change in between is
    /// then seen twice rather than never. Deleted ones are those missing from
    /// [`AutomationStore::ids`].
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn changed_since(&self, generation: i64) -> Result<Vec<IndexRow>, StoreError> {
        Ok(self.db.sql(sql::CHANGED).bind(generation).all().await?)
    }

    /// All ids.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn ids(&self) -> Result<Vec<AutomationId>, StoreError> {
        Ok(self.db.sql(sql::IDS).all().await?)
    }
}
