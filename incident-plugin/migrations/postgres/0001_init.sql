-- Incidents, the systems they are about, and their timeline.
create table incidents (
    id uuid primary key,
    title text not null,
    description text,
    status text not null default 'investigating',
    severity text not null default 'major',
    suppress_notifications boolean not null default false,
    request_key text unique,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index incidents_created_idx on incidents (created_at, id);
create index incidents_status_idx on incidents (status, created_at, id);
create table incident_systems (
    incident_id uuid not null references incidents (id) on delete cascade,
    system_id text not null,
    primary key (incident_id, system_id)
);
create index incident_systems_system_idx on incident_systems (system_id, incident_id);
create table incident_updates (
    id uuid primary key,
    incident_id uuid not null references incidents (id) on delete cascade,
    message text not null,
    status_change text,
    created_at timestamptz not null,
    created_by text
);
create index incident_updates_incident_idx on incident_updates (incident_id, created_at, id);
