-- What the gates decided, and why: a ring of the newest per automation. The key keeps the rows of an automation
-- together and in order, so reading and pruning a ring touches nothing else.
create table automation_decisions (
    automation_id text not null references automations (id) on delete cascade,
    id            text not null,
    at            integer not null,
    occurrence    text not null,
    trigger_id    text not null,
    context_key   text,
    verdict       text not null,
    gate          text,
    detail        text not null,
    run_id        text,
    primary key (automation_id, id)
) without rowid;

-- Which versions an automation's runs refer to is told from the index alone.
drop index automation_runs_automation_idx;
create index automation_runs_automation_idx on automation_runs (automation_id, started_at, definition_version);
