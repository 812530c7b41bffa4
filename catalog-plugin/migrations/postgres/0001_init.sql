-- Systems: what is watched.
create table systems (
    id text primary key,
    name text not null,
    description text,
    metadata json not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index systems_name_unique on systems (lower(name));
