-- Configs of plugins: one row per (plugin, config id); `data` holds secret fields encrypted (plugins 8.3).
create table signalbox.core_configs (
    plugin_id        text not null,
    config_id        text not null,
    version          bigint not null,
    data             json not null,
    migrated_at      timestamptz,
    original_version bigint,
    updated_at       timestamptz not null,
    primary key (plugin_id, config_id)
);
