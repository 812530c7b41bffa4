-- Configs of plugins: one row per (plugin, config id); `data` holds secret fields encrypted (plugins 8.3).
create table core_configs (
    plugin_id        text not null,
    config_id        text not null,
    version          integer not null,
    data             text not null,
    migrated_at      integer,
    original_version integer,
    updated_at       integer not null,
    primary key (plugin_id, config_id)
) without rowid;
