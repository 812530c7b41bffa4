//! The store on SQLite and Postgres.

use crate::{
    intent::Intent,
    recording::{Recording, TOMBSTONE},
    store::{Newest, Transition, TransitionFilter, TransitionStore},
};
use plugin_api::{
    Actor, BoxError, Db, Doc, Id, Text, Ts, Tx,
    db::{Conn, DbError},
};
use serde_json::Value;
use uuid::Uuid;

plugin_api::batch_row! {
    struct Row {
        field: Text,
        from_value: Option<Text>,
        to_value: Text,
    }
}

plugin_api::row! {
    struct IntentRow {
        kind: String,
        entity_id: String,
        change_id: Id,
        prev: Option<Doc>,
        hidden: Doc,
        actor: Doc,
        run_id: Option<Id>,
        created_at: Ts,
    }
}

plugin_api::statements! {
    /// Everything of a change in one round trip; SQLite, which has no data-modifying `with`, takes
    /// only the rows of the log here.
    RECORD = {
        sqlite: "insert into entity_transitions (change_id, kind, entity_id, transitioned_at, field, from_value, to_value)
            select $1, $2, $3, $4, value->>'field', value->>'from_value', value->>'to_value' from jsonb_each($5)
            where true on conflict (change_id, field) do nothing",
        postgres: "with sent as (
                insert into signalbox.entity_outbox (change_id, kind, entity_id, created_at, payload) values ($1, $2, $3, $4, $5)),
            settled as (
                delete from signalbox.entity_intents where $6 and kind = $2 and entity_id = $3 and change_id = $1)
            insert into signalbox.entity_transitions (change_id, kind, entity_id, transitioned_at, field, from_value, to_value)
            select $1, $2, $3, $4, r.field, r.from_value, r.to_value from unnest($7::text[], $8::text[], $9::text[]) as r(field, from_value, to_value)
            on conflict (change_id, field) do nothing",
    };
    SEND = "insert into signalbox.entity_outbox (change_id, kind, entity_id, created_at, payload) values ($1, $2, $3, $4, $5)";
    END_INTENT = "delete from signalbox.entity_intents where kind = $1 and entity_id = $2 and change_id = $3";
    BEGIN_INTENT = "insert into signalbox.entity_intents (kind, entity_id, change_id, prev, hidden, actor, run_id, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (kind, entity_id) do nothing";
    INTENT = "select kind, entity_id, change_id, prev, hidden, actor, run_id, created_at from signalbox.entity_intents
        where kind = $1 and entity_id = $2";
    INTENTS = "select kind, entity_id, change_id, prev, hidden, actor, run_id, created_at from signalbox.entity_intents
        where created_at < $1 order by created_at limit $2";
    OLDEST_INTENT = "select min(created_at) from signalbox.entity_intents";
    NEWEST = "select field, to_value, transitioned_at, id from (
            select field, to_value, transitioned_at, id from signalbox.entity_transitions
            where kind = $1 and entity_id = $2 and field = $3 order by transitioned_at desc, id desc limit 1) as a
        union all
        select field, to_value, transitioned_at, id from (
            select field, to_value, transitioned_at, id from signalbox.entity_transitions
            where kind = $1 and entity_id = $2 and field = $4 order by transitioned_at desc, id desc limit 1) as b
        order by 3 desc, 4 desc limit 1";
    COUNT = "select count(*) from signalbox.entity_transitions
        where kind = $1 and entity_id = $2 and field = $3 and transitioned_at >= $4";
    LIST = "select id, change_id, kind, entity_id, field, from_value, to_value, transitioned_at from signalbox.entity_transitions
        where kind = $1 and entity_id = $2 and id < $3
          and (cast($4 as text) is null or field = $4)
          and (cast($5 as text) is null or from_value = $5)
          and (cast($6 as text) is null or to_value = $6)
        order by id desc limit $7";
}

/// The store on the framework's tables.
pub struct SqlStore {
    db: Db,
}

impl SqlStore {
    /// A store on the framework's handle.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

/// Rows of one entity that pass the filter, newest first, with ids below `before` (none: from the
/// newest), at most `limit`.
pub async fn transitions(
    mut at: Conn<'_>,
    kind: &str,
    id: &str,
    filter: &TransitionFilter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Transition>, DbError> {
    at.sql(LIST)
        .bind(kind.to_owned())
        .bind(Text::new(id))
        .bind(before.unwrap_or(i64::MAX))
        .bind(filter.field.clone().map(Text::new))
        .bind(filter.from.clone().map(Text::new))
        .bind(filter.to.clone().map(Text::new))
        .bind(limit)
        .all()
        .await
}

#[async_trait::async_trait]
impl TransitionStore for SqlStore {
    async fn record(&self, recording: &Recording) -> Result<(), BoxError> {
        let mut tx = self.db.begin().await?;
        match self.record_in(&mut tx, recording).await {
            Ok(()) => Ok(tx.commit().await?),
            Err(e) => {
                tx.rollback().await.ok();
                Err(e.into())
            }
        }
    }

    async fn record_in(&self, tx: &mut Tx, recording: &Recording) -> Result<(), DbError> {
        let change = recording.change();
        let payload = Doc::of(change).map_err(|e| DbError::Encode(Box::new(e)))?;
        let rows: Vec<Row> = recording.rows().iter().map(row).collect();
        let (kind, entity) = (change.kind.clone(), Text::new(&*change.id));
        let id = Id(change.change_id);
        let at = change.occurred_at;
        if tx.is_postgres() {
            bound(tx.sql(RECORD), id, kind.clone(), entity.clone(), at)
                .bind(payload)
                .bind(recording.settles_intent())
                .rows(&rows)
                .execute()
                .await?;
            return Ok(());
        }
        if !rows.is_empty() {
            bound(tx.sql(RECORD), id, kind.clone(), entity.clone(), at)
                .rows(&rows)
                .execute()
                .await?;
        }
        bound(tx.sql(SEND), id, kind.clone(), entity.clone(), at)
            .bind(payload)
            .execute()
            .await?;
        if recording.settles_intent() {
            end_intent(tx.sql(END_INTENT), kind, entity, id)
                .execute()
                .await?;
        }
        Ok(())
    }

    async fn newest(&self, kind: &str, id: &str, field: &str) -> Result<Option<Newest>, BoxError> {
        plugin_api::row! {
            struct Found {
                field: String,
                to_value: String,
                transitioned_at: Ts,
            }
        }
        let query = self
            .db
            .sql(NEWEST)
            .bind(kind.to_owned())
            .bind(Text::new(id));
        let found = query
            .bind(field.to_owned())
            .bind(TOMBSTONE.to_owned())
            .optional::<Found>()
            .await?;
        Ok(found.map(|f| match f.field == TOMBSTONE {
            true => Newest::Ended(f.transitioned_at),
            false => Newest::Value(f.to_value, f.transitioned_at),
        }))
    }

    async fn count(&self, kind: &str, id: &str, field: &str, since: Ts) -> Result<i64, BoxError> {
        let query = self.db.sql(COUNT).bind(kind.to_owned()).bind(Text::new(id));
        Ok(query.bind(field.to_owned()).bind(since).one().await?)
    }

    async fn begin_intent(&self, intent: &Intent) -> Result<Option<Intent>, BoxError> {
        loop {
            let stored = self
                .db
                .sql(BEGIN_INTENT)
                .bind(intent.kind.clone())
                .bind(Text::new(&*intent.id))
                .bind(Id(intent.change_id))
                .bind(intent.prev.clone().map(Doc))
                .bind(Doc(Value::Object(intent.hidden.clone())))
                .bind(Doc::of(&intent.actor)?)
                .bind(intent.run_id.map(Id))
                .bind(intent.created_at)
                .execute()
                .await?;
            if stored == 1 {
                return Ok(None);
            }
            // Between the two statements recovery may have settled it: then try again.
            if let Some(found) = self.intent(&intent.kind, &intent.id).await? {
                return Ok(Some(found));
            }
        }
    }

    async fn end_intent(&self, kind: &str, id: &str, change_id: Uuid) -> Result<(), BoxError> {
        let query = self.db.sql(END_INTENT);
        end_intent(query, kind.to_owned(), Text::new(id), Id(change_id))
            .execute()
            .await?;
        Ok(())
    }

    async fn intent(&self, kind: &str, id: &str) -> Result<Option<Intent>, BoxError> {
        let query = self
            .db
            .sql(INTENT)
            .bind(kind.to_owned())
            .bind(Text::new(id));
        Ok(query.optional::<IntentRow>().await?.map(Intent::from))
    }

    async fn intents(&self, before: Ts, limit: i64) -> Result<Vec<Intent>, BoxError> {
        let query = self.db.sql(INTENTS).bind(before).bind(limit);
        let rows = query.all::<IntentRow>().await?;
        Ok(rows.into_iter().map(Intent::from).collect())
    }

    async fn oldest_intent(&self) -> Result<Option<Ts>, BoxError> {
        Ok(self.db.sql(OLDEST_INTENT).one().await?)
    }
}

fn bound(
    query: plugin_api::db::Query<'_>,
    change: Id,
    kind: String,
    entity: Text,
    at: Ts,
) -> plugin_api::db::Query<'_> {
    query.bind(change).bind(kind).bind(entity).bind(at)
}

fn end_intent(
    query: plugin_api::db::Query<'_>,
    kind: String,
    entity: Text,
    change: Id,
) -> plugin_api::db::Query<'_> {
    query.bind(kind).bind(entity).bind(change)
}

fn row(t: &crate::recording::FieldTransition) -> Row {
    Row {
        field: Text::new(&*t.field),
        from_value: t.from_value.as_deref().map(Text::new),
        to_value: Text::new(&*t.to_value),
    }
}

impl From<IntentRow> for Intent {
    fn from(row: IntentRow) -> Self {
        let (actor, known) = Actor::from_stored(&row.actor.0);
        if !known {
            tracing::warn!(kind = %row.kind, id = %row.entity_id, "The actor of an entity intent is malformed; the system actor stands in.");
        }
        let hidden = match row.hidden.0 {
            Value::Object(hidden) => hidden,
            _ => Default::default(),
        };
        Self {
            kind: row.kind,
            id: row.entity_id,
            change_id: row.change_id.0,
            prev: row.prev.map(|d| d.0).filter(Value::is_object),
            hidden,
            actor,
            run_id: row.run_id.map(|id| id.0),
            created_at: row.created_at,
        }
    }
}
