-- Systems: what is watched. `name_key` is the case-folded name: names are unique by it, and lists are ordered by it.
create table systems (
    id text primary key,
    name text not null,
    name_key text not null,
    description text,
    metadata json not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index systems_name_unique on systems (name_key);
