//! Writing incidents.

use super::{read, sql};
use crate::{
    entity::IncidentState,
    model::{
        Incident, IncidentChange, IncidentError, IncidentId, NewIncident, Note, Status, Update,
        UpdateId, author, check_message, check_systems, check_title,
    },
};
use automation_core::registry::Cancel;
use automation_entity::{EntityHandle, MutateOpts};
use plugin_api::{BoxError, Clock, Conn, Db, RequestContext, Text, Ts, Tx};
use std::{collections::BTreeSet, sync::Arc};

/// Reads and writes incidents.
#[derive(Clone)]
pub struct Store {
    db: Db,
    clock: Arc<dyn Clock>,
    handle: EntityHandle<IncidentState>,
}

/// What opening an incident did.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// A new incident.
    New(Incident),
    /// The oldest open incident of one of the systems, or the one the same request made before;
    /// nothing was changed.
    Existing(Incident),
}

impl Created {
    /// The incident either way.
    pub fn into_incident(self) -> Incident {
        match self {
            Self::New(i) | Self::Existing(i) => i,
        }
    }
}

impl Store {
    /// A store over the plugin's database.
    pub fn new(db: Db, clock: Arc<dyn Clock>, handle: EntityHandle<IncidentState>) -> Self {
        Self { db, clock, handle }
    }

    /// See [`EntityHandle::patiently`]; every write with a request may be repeated.
    pub async fn patiently<T, F>(
        &self,
        cancel: &Cancel,
        write: impl FnMut() -> F + Send,
    ) -> Result<T, IncidentError>
    where
        F: Future<Output = Result<T, IncidentError>> + Send,
    {
        self.handle
            .patiently(cancel, IncidentError::is_passing, write)
            .await
    }

    /// One incident.
    pub async fn get(&self, id: &str) -> Result<Incident, IncidentError> {
        let not_found = || IncidentError::NotFound(id.to_owned());
        let parsed = id.parse().map_err(|_| not_found())?;
        read::by_ids(Conn::Db(&self.db), &[parsed])
            .await?
            .pop()
            .ok_or_else(not_found)
    }

    /// See [`read::page`].
    pub async fn page(
        &self,
        filter: &read::ListFilter,
        after: Option<(Ts, IncidentId)>,
        limit: usize,
    ) -> Result<Vec<Incident>, IncidentError> {
        read::page(&self.db, filter, after, limit).await
    }

    /// The timeline, oldest first.
    pub async fn updates(&self, id: IncidentId) -> Result<Vec<Update>, IncidentError> {
        read::updates(&self.db, id).await
    }

    /// Incidents linked to a system, open or not.
    pub async fn of_system(&self, system_id: &str) -> Result<Vec<IncidentId>, IncidentError> {
        Ok(self
            .db
            .sql(sql::OF_SYSTEM)
            .bind(Text::new(system_id))
            .all()
            .await?)
    }

    /// Whether an open incident of the system holds notifications back (`domains §4.8`).
    pub async fn has_suppressing(&self, system_id: &str) -> Result<bool, IncidentError> {
        let query = self.db.sql(sql::SUPPRESSING).bind(Text::new(system_id));
        Ok(query.one::<i64>().await? > 0)
    }

    /// Opens an incident. With `dedupe_open_for_system` the look-up and the creation are one critical
    /// section per system, taken in sorted order, in one transaction: two concurrent calls make
    /// exactly one incident (`domains §4.5`).
    pub async fn create(&self, new: NewIncident) -> Result<Created, IncidentError> {
        let title = check_title(&new.title)?;
        check_systems(&new.system_ids)?;
        let now = self.clock.now();
        let incident = Incident {
            id: IncidentId::new(&*self.clock),
            title,
            description: new.description,
            status: Status::Investigating,
            severity: new.severity,
            system_ids: new.system_ids,
            suppress_notifications: new.suppress_notifications,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.db.begin().await?;
        if let Some(key) = &new.request {
            tx.lock(&format!("incident.request:{key}")).await?;
            if let Some(id) = tx
                .sql(sql::OF_REQUEST)
                .bind(key.clone())
                .optional::<IncidentId>()
                .await?
                && let Some(made) = read::by_ids(Conn::Tx(&mut tx), &[id]).await?.pop()
            {
                return Ok(Created::Existing(made));
            }
        }
        if new.dedupe_open_for_system
            && let Some(open) = self.find_open(&mut tx, &incident.system_ids).await?
        {
            return Ok(Created::Existing(open));
        }
        let entry = new
            .initial_message
            .filter(|m| !m.trim().is_empty())
            .map(|m| self.entry(m, None));
        let (made, request) = (incident.clone(), new.request);
        self.handle
            .mutate_with(
                &mut tx,
                &incident.id.to_string(),
                MutateOpts::default(),
                async move |tx: &mut Tx| {
                    insert(tx, &made, request).await?;
                    if let Some(entry) = entry {
                        add_entry(tx, made.id, entry, None).await?;
                    }
                    Ok(IncidentState::from(&made))
                },
            )
            .await
            .map_err(IncidentError::from_write)?;
        tx.commit().await?;
        Ok(Created::New(incident))
    }

    async fn find_open(
        &self,
        tx: &mut Tx,
        systems: &BTreeSet<String>,
    ) -> Result<Option<Incident>, IncidentError> {
        for system in systems {
            tx.lock(&format!("incident.dedupe:{system}")).await?;
        }
        let ids: Vec<String> = systems.iter().cloned().collect();
        let Some(id) = tx
            .sql(sql::OLDEST_OPEN)
            .texts(&ids)
            .optional::<IncidentId>()
            .await?
        else {
            return Ok(None);
        };
        Ok(read::by_ids(Conn::Tx(tx), &[id]).await?.pop())
    }

    /// Changes an incident and adds to its timeline. Answers the incident, and the timeline entry if
    /// one was made.
    pub async fn change(
        &self,
        id: &str,
        change: IncidentChange,
    ) -> Result<(Incident, Option<UpdateId>), IncidentError> {
        let title = change.title.as_deref().map(check_title).transpose()?;
        if let Some(systems) = &change.system_ids {
            check_systems(systems)?;
        }
        if let Some(Note::Message(message)) = &change.note {
            check_message(message)?;
        }
        let entry = |message, status| self.entry(message, status);
        self.edit(id, change.request, move |i| {
            let before = i.status;
            if let Some(t) = title {
                i.title = t;
            }
            if let Some(d) = change.description {
                i.description = d;
            }
            if let Some(s) = change.severity {
                i.severity = s;
            }
            if let Some(s) = change.system_ids {
                i.system_ids = s;
            }
            if let Some(s) = change.suppress_notifications {
                i.suppress_notifications = s;
            }
            if let Some(s) = change.status {
                i.status = s;
            }
            let brought = (i.status != before).then_some(i.status);
            match change.note {
                Some(Note::Message(message)) => Some(entry(message, brought)),
                Some(Note::OnStatusChange(message)) if brought.is_some() => {
                    Some(entry(message, brought))
                }
                _ => None,
            }
        })
        .await
    }

    /// Resolves an incident. One that is resolved already stays as it is: success, no second timeline
    /// entry, no event (`domains §4.6`). Without a message, or with a blank one, the timeline says
    /// "Incident resolved". For `request` see [`IncidentChange::request`].
    pub async fn resolve(
        &self,
        id: &str,
        message: Option<String>,
        request: Option<String>,
    ) -> Result<Incident, IncidentError> {
        let message = message
            .filter(|m| !m.trim().is_empty())
            .unwrap_or_else(|| "Incident resolved".into());
        let change = IncidentChange {
            status: Some(Status::Resolved),
            note: Some(Note::OnStatusChange(message)),
            request,
            ..Default::default()
        };
        Ok(self.change(id, change).await?.0)
    }

    /// Moves an incident to a status; one that has it already stays as it is. Without a message, or
    /// with a blank one, the timeline says what the status changed to. For `request` see
    /// [`IncidentChange::request`].
    pub async fn set_status(
        &self,
        id: &str,
        status: Status,
        message: Option<String>,
        request: Option<String>,
    ) -> Result<(Incident, Option<UpdateId>), IncidentError> {
        let message = message
            .filter(|m| !m.trim().is_empty())
            .unwrap_or_else(|| format!("Status changed to {}", status.as_str()));
        let change = IncidentChange {
            status: Some(status),
            note: Some(Note::OnStatusChange(message)),
            request,
            ..Default::default()
        };
        self.change(id, change).await
    }

    /// Takes a deleted system out of an incident, which stays open and keeps its history (`domains §4.9`).
    pub async fn unlink(&self, id: IncidentId, system_id: &str) -> Result<(), IncidentError> {
        match self
            .edit(&id.to_string(), None, |i| {
                i.system_ids.remove(system_id);
                None
            })
            .await
        {
            Ok(_) | Err(IncidentError::NotFound(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Deletes an incident with its timeline.
    pub async fn delete(&self, id: &str) -> Result<(), IncidentError> {
        let parsed: IncidentId = id
            .parse()
            .map_err(|_| IncidentError::NotFound(id.to_owned()))?;
        let delete =
            async move |tx: &mut Tx| match tx.sql(sql::DELETE).bind(parsed).execute().await? {
                0 => Err(IncidentError::NotFound(id.to_owned()).into()),
                _ => Ok(()),
            };
        self.handle
            .remove_in(&parsed.to_string(), MutateOpts::default(), delete)
            .await
            .map_err(IncidentError::from_write)
    }

    fn entry(&self, message: String, status_change: Option<Status>) -> Update {
        Update {
            id: UpdateId::new(&*self.clock),
            message,
            status_change,
            created_at: self.clock.now(),
            created_by: Some(author(&RequestContext::current().actor)),
        }
    }

    /// Reads, edits and writes one incident in one transaction. `edit` answers the entry for the
    /// timeline; when there is none and nothing was changed, nothing is written. A `request` that has
    /// left an entry before is not carried out again.
    async fn edit(
        &self,
        id: &str,
        request: Option<String>,
        edit: impl FnOnce(&mut Incident) -> Option<Update> + Send,
    ) -> Result<(Incident, Option<UpdateId>), IncidentError> {
        let not_found = || IncidentError::NotFound(id.to_owned());
        let parsed: IncidentId = id.parse().map_err(|_| not_found())?;
        let now = self.clock.now();
        let mut edited = None;
        let out = &mut edited;
        self.handle
            .mutate_in(
                &parsed.to_string(),
                MutateOpts::default(),
                async move |tx: &mut Tx| {
                    let mut incident = read::by_ids(Conn::Tx(tx), &[parsed])
                        .await?
                        .pop()
                        .ok_or_else(|| IncidentError::NotFound(parsed.to_string()))?;
                    let mut entry_id = of_request(tx, parsed, request.as_deref()).await?;
                    if entry_id.is_none() {
                        let before = incident.clone();
                        let entry = edit(&mut incident);
                        entry_id = entry.as_ref().map(|e| e.id);
                        if entry.is_some() || incident != before {
                            incident.updated_at = now;
                            update(tx, &incident).await?;
                        }
                        if let Some(entry) = entry {
                            add_entry(tx, parsed, entry, request).await?;
                        }
                    }
                    let state = IncidentState::from(&incident);
                    *out = Some((incident, entry_id));
                    Ok(state)
                },
            )
            .await
            .map_err(IncidentError::from_write)?;
        edited.ok_or_else(not_found)
    }
}

async fn insert(tx: &mut Tx, i: &Incident, request: Option<String>) -> Result<(), BoxError> {
    tx.sql(sql::INSERT)
        .bind(i.id)
        .bind(Text::new(i.title.clone()))
        .bind(i.description.clone().map(Text::new))
        .bind(i.status.as_str().to_owned())
        .bind(i.severity.as_str().to_owned())
        .bind(i.suppress_notifications)
        .bind(request)
        .bind(i.created_at)
        .execute()
        .await?;
    link(tx, i).await
}

async fn update(tx: &mut Tx, i: &Incident) -> Result<(), BoxError> {
    tx.sql(sql::UPDATE)
        .bind(i.id)
        .bind(Text::new(i.title.clone()))
        .bind(i.description.clone().map(Text::new))
        .bind(i.status.as_str().to_owned())
        .bind(i.severity.as_str().to_owned())
        .bind(i.suppress_notifications)
        .bind(i.updated_at)
        .execute()
        .await?;
    let systems: Vec<String> = i.system_ids.iter().cloned().collect();
    tx.sql(sql::UNLINK_OTHERS)
        .bind(i.id)
        .texts(&systems)
        .execute()
        .await?;
    link(tx, i).await
}

async fn link(tx: &mut Tx, i: &Incident) -> Result<(), BoxError> {
    let systems: Vec<String> = i.system_ids.iter().cloned().collect();
    tx.sql(sql::LINK)
        .bind(i.id)
        .texts(&systems)
        .execute()
        .await?;
    Ok(())
}

/// The entry that the same request has made before, if any.
async fn of_request(
    tx: &mut Tx,
    incident: IncidentId,
    request: Option<&str>,
) -> Result<Option<UpdateId>, IncidentError> {
    let Some(key) = request else {
        return Ok(None);
    };
    let query = tx.sql(sql::UPDATE_OF_REQUEST).bind(incident);
    Ok(query.bind(key.to_owned()).optional().await?)
}

async fn add_entry(
    tx: &mut Tx,
    incident: IncidentId,
    entry: Update,
    request: Option<String>,
) -> Result<(), BoxError> {
    tx.sql(sql::ADD_UPDATE)
        .bind(entry.id)
        .bind(incident)
        .bind(Text::new(entry.message))
        .bind(entry.status_change.map(|s| s.as_str().to_owned()))
        .bind(entry.created_at)
        .bind(entry.created_by.map(Text::new))
        .bind(request)
        .execute()
        .await?;
    Ok(())
}
