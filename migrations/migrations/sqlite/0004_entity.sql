-- Entity transitions, the outbox and the intents of durable kinds.
create table entity_transitions (
    id              integer primary key,
    change_id       text not null,
    kind            text not null,
    entity_id       text not null,
    field           text not null,
    from_value      text,
    to_value        text not null,
    transitioned_at integer not null,
    unique (change_id, field)
);
create index entity_transitions_field_idx
    on entity_transitions (kind, entity_id, field, transitioned_at, id);

-- One row per recorded change until Stage 1 has routed it. `seq` follows commit order; numbers of
-- an emptied table may come again, the order of rows that exist together never changes.
-- `retry_at` parks a row that failed.
create table entity_outbox (
    seq        integer primary key,
    change_id  text not null,
    kind       text not null,
    entity_id  text not null,
    payload    text not null,
    created_at integer not null,
    attempts   integer not null default 0,
    retry_at   integer
);
create index entity_outbox_entity_idx on entity_outbox (kind, entity_id, seq);
create index entity_outbox_parked_idx on entity_outbox (retry_at) where retry_at is not null;

-- A durable kind's write that has begun: what recovery compares with when the process died in between.
create table entity_intents (
    kind         text not null,
    entity_id    text not null,
    change_id    text not null,
    prev         text,
    hidden       text not null,
    actor        text not null,
    run_id       text,
    created_at   integer not null,
    primary key (kind, entity_id)
) without rowid;
create index entity_intents_created_idx on entity_intents (created_at);
