-- Items and how they are doing; read by the kind `sprocket`.
create table sprocket_items (
    id         text primary key,
    status     text not null,
    updated_at integer not null
) without rowid;
