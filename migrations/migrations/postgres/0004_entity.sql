-- Entity transitions, the outbox and the intents of durable kinds.
create table signalbox.entity_transitions (
    id              bigint generated always as identity primary key,
    change_id       uuid not null,
    kind            text not null,
    entity_id       text not null,
    field           text not null,
    from_value      text,
    to_value        text not null,
    transitioned_at timestamptz not null,
    unique (change_id, field)
);
create index entity_transitions_field_idx
    on signalbox.entity_transitions (kind, entity_id, field, transitioned_at, id);

-- One row per recorded change until Stage 1 has routed it. `seq` follows commit order inside one
-- entity, because writers of an entity hold its lock until they commit. `retry_at` parks a row that failed.
create table signalbox.entity_outbox (
    seq        bigint generated always as identity primary key,
    change_id  uuid not null,
    kind       text not null,
    entity_id  text not null,
    payload    json not null,
    created_at timestamptz not null,
    attempts   bigint not null default 0,
    retry_at   timestamptz
);
create index entity_outbox_entity_idx on signalbox.entity_outbox (kind, entity_id, seq);
create index entity_outbox_parked_idx on signalbox.entity_outbox (retry_at) where retry_at is not null;

-- A durable kind's write that has begun: what recovery compares with when the process died in between.
create table signalbox.entity_intents (
    kind         text not null,
    entity_id    text not null,
    change_id    uuid not null,
    prev         json,
    hidden       json not null,
    actor        json not null,
    run_id       uuid,
    created_at   timestamptz not null,
    primary key (kind, entity_id)
);
create index entity_intents_created_idx on signalbox.entity_intents (created_at);
