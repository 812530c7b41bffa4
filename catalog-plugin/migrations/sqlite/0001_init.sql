-- Systems: what is watched.
create table systems (
    id text primary key,
    name text not null,
    description text,
    metadata text not null default '{}',
    created_at integer not null,
    updated_at integer not null
);
create unique index systems_name_unique on systems (lower(name));
