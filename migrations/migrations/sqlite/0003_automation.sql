-- Automations and their immutable versions (dispatch §3.1). `name_key` is the case-folded name the list is ordered by;
-- `events` and `actions` hold the ids the definition names, each between line breaks, for filters and summaries.
create table automations (
    id                 text primary key,
    name               text not null,
    name_key           text not null,
    description        text,
    "group"            text,
    status             text not null default 'enabled' check (status in ('enabled', 'disabled')),
    definition         text not null,
    definition_version integer not null,
    managed_by         text,
    events             text not null,
    actions            text not null,
    version            integer not null default 1,
    generation         integer not null,
    created_at         integer not null,
    updated_at         integer not null
);
create index automations_status_idx on automations (status);
create index automations_managed_by_idx on automations (managed_by);
create index automations_group_idx on automations ("group");
create index automations_name_idx on automations (name_key, id);
create index automations_generation_idx on automations (generation);

create table automation_versions (
    automation_id text not null references automations (id) on delete cascade,
    version       integer not null,
    definition    text not null,
    actor         text not null,
    created_at    integer not null,
    primary key (automation_id, version)
) without rowid;

-- Counts every committed change of an automation, so that a node sees with one read whether its index is current.
create table automation_generation (
    one   integer primary key check (one = 1),
    value integer not null
);
insert into automation_generation (one, value) values (1, 0);
