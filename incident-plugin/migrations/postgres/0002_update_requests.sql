-- The request that made an entry of the timeline, so that repeating it makes no second.
alter table incident_updates add column request_key text;
create unique index incident_updates_request_idx on incident_updates (incident_id, request_key);
