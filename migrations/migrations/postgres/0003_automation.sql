-- Automations and their immutable versions (dispatch §3.1). `name_key` is the case-folded name the list is ordered by;
-- `events` and `actions` hold the ids the definition names, each between line breaks, for filters and summaries.
create table signalbox.automations (
    id                 uuid primary key,
    name               text not null,
    name_key           text collate "C" not null,
    description        text,
    "group"            text,
    status             text not null default 'enabled' check (status in ('enabled', 'disabled')),
    definition         json not null,
    definition_version bigint not null,
    managed_by         text,
    events             text not null,
    actions            text not null,
    version            bigint not null default 1,
    generation         bigint not null,
    created_at         timestamptz not null,
    updated_at         timestamptz not null
);
create index automations_status_idx on signalbox.automations (status);
create index automations_managed_by_idx on signalbox.automations (managed_by);
create index automations_group_idx on signalbox.automations ("group");
create index automations_name_idx on signalbox.automations (name_key, id);
create index automations_generation_idx on signalbox.automations (generation);

create table signalbox.automation_versions (
    automation_id uuid not null references signalbox.automations (id) on delete cascade,
    version       bigint not null,
    definition    json not null,
    actor         json not null,
    created_at    timestamptz not null,
    primary key (automation_id, version)
);

-- Counts every committed change of an automation, so that a node sees with one read whether its index is current.
create table signalbox.automation_generation (
    one   bigint primary key check (one = 1),
    value bigint not null
);
insert into signalbox.automation_generation (one, value) values (1, 0);
