-- API tokens: the hash only; the token itself is shown once.
create table signalbox.api_tokens (
    hash text primary key,
    name text not null unique,
    actor json not null,
    rules json not null,
    created_at timestamptz not null
);
