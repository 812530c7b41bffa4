-- API tokens: the hash only; the token itself is shown once.
create table api_tokens (
    hash text primary key,
    name text not null unique,
    actor text not null,
    rules text not null,
    created_at integer not null
);
