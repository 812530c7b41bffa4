//! Every statement of the plugin.

plugin_api::statements! {
    pub BY_IDS = {
        sqlite: "select id, title, description, status, severity, suppress_notifications, created_at, updated_at from incidents where id in (select value from json_each($1))",
        postgres: "select id, title, description, status, severity, suppress_notifications, created_at, updated_at from incidents where id = any($1)",
    };
    pub SYSTEMS_OF = {
        sqlite: "select incident_id, system_id from incident_systems where incident_id in (select value from json_each($1))",
        postgres: "select incident_id, system_id from incident_systems where incident_id = any($1)",
    };
    pub PAGE = "select i.id, i.title, i.description, i.status, i.severity, i.suppress_notifications, i.created_at, i.updated_at from incidents i
        where (cast($1 as text) is null or i.status = $1)
          and (not cast($2 as boolean) or i.status <> 'resolved')
          and (cast($3 as text) is null or exists (select 1 from incident_systems s where s.incident_id = i.id and s.system_id = $3))
          and (i.created_at < $4 or (i.created_at = $4 and i.id < $5))
        order by i.created_at desc, i.id desc limit $6";
    pub UPDATES_OF = "select id, message, status_change, created_at, created_by from incident_updates where incident_id = $1 order by created_at, id";
    pub OLDEST_OPEN = {
        sqlite: "select i.id from incidents i where i.status <> 'resolved' and i.id in (select incident_id from incident_systems where system_id in (select value from json_each($1))) order by i.created_at, i.id limit 1",
        postgres: "select i.id from incidents i where i.status <> 'resolved' and i.id in (select incident_id from incident_systems where system_id = any($1)) order by i.created_at, i.id limit 1",
    };
    pub OF_REQUEST = "select id from incidents where request_key = $1";
    pub UPDATE_OF_REQUEST = "select id from incident_updates where incident_id = $1 and request_key = $2";
    pub OF_SYSTEM = "select incident_id from incident_systems where system_id = $1";
    /// Whether a system has an open incident that holds notifications back.
    pub SUPPRESSING = "select count(*) from (select 1 from incident_systems s join incidents i on i.id = s.incident_id
        where s.system_id = $1 and i.status <> 'resolved' and i.suppress_notifications limit 1) as found";
    pub INSERT = "insert into incidents (id, title, description, status, severity, suppress_notifications, request_key, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    pub UPDATE = "update incidents set title = $2, description = $3, status = $4, severity = $5, suppress_notifications = $6, updated_at = $7 where id = $1";
    pub DELETE = "delete from incidents where id = $1";
    pub LINK = {
        sqlite: "insert into incident_systems (incident_id, system_id) select $1, value from json_each($2) where true on conflict do nothing",
        postgres: "insert into incident_systems (incident_id, system_id) select $1, s from unnest($2::text[]) s on conflict do nothing",
    };
    pub UNLINK_OTHERS = {
        sqlite: "delete from incident_systems where incident_id = $1 and system_id not in (select value from json_each($2))",
        postgres: "delete from incident_systems where incident_id = $1 and not (system_id = any($2))",
    };
    pub ADD_UPDATE = "insert into incident_updates (id, incident_id, message, status_change, created_at, created_by, request_key) values ($1, $2, $3, $4, $5, $6, $7)";
}
