-- What the gates decided, and why: a ring of the newest per automation. The key keeps the rows of an automation
-- together and in order, so reading and pruning a ring touches nothing else.
create table signalbox.automation_decisions (
    automation_id uuid not null references signalbox.automations (id) on delete cascade,
    id            uuid not null,
    at            timestamptz not null,
    occurrence    text not null,
    trigger_id    text not null,
    context_key   text,
    verdict       text not null,
    gate          text,
    detail        json not null,
    run_id        uuid,
    primary key (automation_id, id)
);

-- Which versions an automation's runs refer to is told from the index alone.
drop index signalbox.automation_runs_automation_idx;
create index automation_runs_automation_idx on signalbox.automation_runs (automation_id, started_at, definition_version);
