-- Named checks. `name_key` is the case-folded name: names are unique by it, and lists are ordered by it.
create table health_check_configurations (
    id text primary key,
    name text not null,
    name_key text not null,
    strategy_id text not null,
    config text not null,
    collectors text,
    interval_seconds integer not null check (interval_seconds >= 1),
    is_template boolean not null default false,
    paused boolean not null default false,
    created_at integer not null,
    updated_at integer not null
);
create unique index health_check_configurations_name on health_check_configurations (name_key);

create table system_health_checks (
    system_id text not null,
    configuration_id text not null references health_check_configurations (id) on delete cascade,
    enabled boolean not null default true,
    state_thresholds text,
    retention_config text,
    satellite_ids text,
    include_local boolean not null default true,
    notification_policy text,
    created_at integer not null,
    updated_at integer not null,
    primary key (system_id, configuration_id)
) without rowid;
create index system_health_checks_configuration on system_health_checks (configuration_id);

create table health_check_runs (
    id text primary key,
    configuration_id text not null references health_check_configurations (id) on delete cascade,
    system_id text not null,
    status text not null,
    latency_ms integer,
    result text,
    source_id text,
    source_label text,
    timestamp integer not null
);
create index health_check_runs_newest
    on health_check_runs (system_id, configuration_id, timestamp desc, id desc, status);
create index health_check_runs_configuration on health_check_runs (configuration_id);

create table health_check_aggregates (
    id text primary key,
    configuration_id text not null references health_check_configurations (id) on delete cascade,
    system_id text not null,
    bucket_start integer not null,
    bucket_size text not null,
    run_count integer not null,
    healthy_count integer not null,
    degraded_count integer not null,
    unhealthy_count integer not null,
    latency_count integer not null,
    latency_sum_ms integer not null,
    avg_latency_ms real,
    min_latency_ms integer,
    max_latency_ms integer,
    p95_latency_ms real,
    aggregated_result text,
    tdigest_state text,
    source_id text,
    source_label text
);
create unique index health_check_aggregates_bucket on health_check_aggregates
    (configuration_id, system_id, bucket_start, bucket_size, coalesce(source_id, ''));
create index health_check_aggregates_recent
    on health_check_aggregates (system_id, bucket_size, bucket_start);

create table health_check_state_transitions (
    id text primary key,
    system_id text not null,
    configuration_id text references health_check_configurations (id) on delete set null,
    from_status text,
    to_status text not null,
    transitioned_at integer not null
);
create index health_check_state_transitions_into
    on health_check_state_transitions (system_id, to_status, transitioned_at);
create index health_check_state_transitions_newest
    on health_check_state_transitions (system_id, transitioned_at);
create index health_check_state_transitions_configuration
    on health_check_state_transitions (configuration_id);

-- Which run of an assignment is in flight; a row that has expired counts as none.
create table health_check_claims (
    system_id text not null,
    configuration_id text not null,
    owner text not null,
    expires_at integer not null,
    primary key (system_id, configuration_id),
    foreign key (system_id, configuration_id)
        references system_health_checks (system_id, configuration_id) on delete cascade
) without rowid;
