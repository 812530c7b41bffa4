-- Named checks. `name_key` is the case-folded name: names are unique by it, and lists are ordered by it.
create table health_check_configurations (
    id uuid primary key,
    name text not null,
    name_key text not null,
    strategy_id text not null,
    config json not null,
    collectors json,
    interval_seconds bigint not null check (interval_seconds >= 1),
    is_template boolean not null default false,
    paused boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index health_check_configurations_name on health_check_configurations (name_key);

create table system_health_checks (
    system_id text not null,
    configuration_id uuid not null references health_check_configurations (id) on delete cascade,
    enabled boolean not null default true,
    state_thresholds json,
    retention_config json,
    satellite_ids json,
    include_local boolean not null default true,
    notification_policy json,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (system_id, configuration_id)
);
create index system_health_checks_configuration on system_health_checks (configuration_id);

create table health_check_runs (
    id uuid primary key,
    configuration_id uuid not null references health_check_configurations (id) on delete cascade,
    system_id text not null,
    status text not null,
    latency_ms bigint,
    result json,
    source_id text,
    source_label text,
    timestamp timestamptz not null
);
create index health_check_runs_newest
    on health_check_runs (system_id, configuration_id, timestamp desc, id desc, status);
create index health_check_runs_configuration on health_check_runs (configuration_id);

create table health_check_aggregates (
    id uuid primary key,
    configuration_id uuid not null references health_check_configurations (id) on delete cascade,
    system_id text not null,
    bucket_start timestamptz not null,
    bucket_size text not null,
    run_count bigint not null,
    healthy_count bigint not null,
    degraded_count bigint not null,
    unhealthy_count bigint not null,
    latency_count bigint not null,
    latency_sum_ms bigint not null,
    avg_latency_ms double precision,
    min_latency_ms bigint,
    max_latency_ms bigint,
    p95_latency_ms double precision,
    aggregated_result json,
    tdigest_state json,
    source_id text,
    source_label text
);
create unique index health_check_aggregates_bucket on health_check_aggregates
    (configuration_id, system_id, bucket_start, bucket_size, coalesce(source_id, ''));
create index health_check_aggregates_recent
    on health_check_aggregates (system_id, bucket_size, bucket_start);

create table health_check_state_transitions (
    id uuid primary key,
    system_id text not null,
    configuration_id uuid references health_check_configurations (id) on delete set null,
    from_status text,
    to_status text not null,
    transitioned_at timestamptz not null
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
    configuration_id uuid not null,
    owner uuid not null,
    expires_at timestamptz not null,
    primary key (system_id, configuration_id),
    foreign key (system_id, configuration_id)
        references system_health_checks (system_id, configuration_id) on delete cascade
);
