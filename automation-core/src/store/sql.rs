//! The store's statements; a test prepares each on both engines.

plugin_api::statements! {
    pub GET = "select id, name, description, \"group\" as grp, status, managed_by, version, definition_version, events, definition, created_at, updated_at from signalbox.automations where id = $1";
    pub DEFINITIONS = {
        sqlite: "select id, definition from automations where id in (select value from json_each($1))",
        postgres: "select id, definition from signalbox.automations where id = any($1)",
    };
    pub BUMP = "update signalbox.automation_generation set value = value + 1 where one = 1 returning value";
    pub GENERATION = "select value from signalbox.automation_generation where one = 1";
    pub INSERT = "insert into signalbox.automations (id, name, name_key, description, \"group\", status, definition, definition_version, managed_by, events, actions, version, generation, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10, 1, $11, $12, $12)";
    pub UPDATE = "update signalbox.automations set name = $3, name_key = $4, description = $5, \"group\" = $6, status = $7, definition = $8, definition_version = $9, managed_by = $10, events = $11, actions = $12, generation = $13, updated_at = $14, version = version + 1 where id = $1 and version = $2";
    /// The version, which stays as it is until the transaction ends.
    pub LOCK = {
        sqlite: "select version from automations where id = $1",
        postgres: "select version from signalbox.automations where id = $1 for update",
    };
    pub DELETE = "delete from signalbox.automations where id = $1";
    pub INSERT_VERSION = "insert into signalbox.automation_versions (automation_id, version, definition, actor, created_at) values ($1, $2, $3, $4, $5)";
    pub PRUNE = "delete from signalbox.automation_versions where automation_id = $1 and version < coalesce((select v.version from signalbox.automation_versions v where v.automation_id = $1 order by v.version desc limit 1 offset $2), 0) and not exists (select 1 from signalbox.automation_runs r where r.automation_id = $1 and r.definition_version = automation_versions.version)";
    pub VERSIONS = "select version, actor, created_at from signalbox.automation_versions where automation_id = $1 and version < $2 order by version desc limit $3";
    pub VERSION = "select version, definition, actor, created_at from signalbox.automation_versions where automation_id = $1 and version = $2";
    pub CHANGED = "select id, status, definition_version, definition, generation from signalbox.automations where generation > $1 order by generation";
    pub IDS = "select id from signalbox.automations";
    pub GROUPS = "select \"group\" as grp, count(*) as count from signalbox.automations where \"group\" is not null group by \"group\"";
    pub PAGE = {
        sqlite: "select id, name, description, \"group\" as grp, status, managed_by, version, definition_version, events, created_at, updated_at from automations where ($1 = '' or status = $1) and ($2 = '' or ($2 = '-' and \"group\" is null) or '=' || \"group\" = $2) and ($3 = '' or managed_by = $3) and ($4 = '' or instr(events, $4) > 0) and ($5 = '' or instr(actions, $5) > 0) and ($6 = '' or instr(name_key, $6) > 0) and (name_key, id) > ($7, $8) order by name_key, id limit $9",
        postgres: "select id, name, description, \"group\" as grp, status, managed_by, version, definition_version, events, created_at, updated_at from signalbox.automations where ($1 = '' or status = $1) and ($2 = '' or ($2 = '-' and \"group\" is null) or '=' || \"group\" = $2) and ($3 = '' or managed_by = $3) and ($4 = '' or strpos(events, $4) > 0) and ($5 = '' or strpos(actions, $5) > 0) and ($6 = '' or strpos(name_key, $6) > 0) and (name_key, id) > ($7, $8) order by name_key, id limit $9",
    };
    pub COUNT = {
        sqlite: "select count(*) from automations where ($1 = '' or status = $1) and ($2 = '' or ($2 = '-' and \"group\" is null) or '=' || \"group\" = $2) and ($3 = '' or managed_by = $3) and ($4 = '' or instr(events, $4) > 0) and ($5 = '' or instr(actions, $5) > 0) and ($6 = '' or instr(name_key, $6) > 0)",
        postgres: "select count(*) from signalbox.automations where ($1 = '' or status = $1) and ($2 = '' or ($2 = '-' and \"group\" is null) or '=' || \"group\" = $2) and ($3 = '' or managed_by = $3) and ($4 = '' or strpos(events, $4) > 0) and ($5 = '' or strpos(actions, $5) > 0) and ($6 = '' or strpos(name_key, $6) > 0)",
    };
}
