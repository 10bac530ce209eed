//! The first tables: connections, streams, windows, links, debts, the change log, callouts, budgets, workers, acts.

use crate::step::Step;

pub(crate) const STEP: Step = Step { name: "m20261123_000001_first_tide", up: UP, down: DOWN };

/// Links and debts name their stream without a foreign key: its check would cost more than the row. `{id}` is a key the database hands out; `{now}` the database's clock in milliseconds.
const UP: &str = "
CREATE TABLE tidemark_meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE tidemark_connection (
    name TEXT PRIMARY KEY,
    connector TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'running',
    reason TEXT,
    account TEXT,
    environment TEXT,
    clock_offset_ms BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT {now}
);
CREATE TABLE tidemark_stream (
    id {id},
    name TEXT NOT NULL UNIQUE,
    connection TEXT NOT NULL,
    object TEXT NOT NULL,
    table_name TEXT NOT NULL,
    mapping_digest TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'plan_ready',
    reason TEXT,
    version BIGINT NOT NULL DEFAULT 0,
    loaded_at BIGINT,
    fast_until BIGINT,
    settled_until BIGINT,
    settled_due_at BIGINT NOT NULL DEFAULT 0,
    fresh_at BIGINT,
    due_at BIGINT NOT NULL DEFAULT 0,
    ticks BIGINT NOT NULL DEFAULT 0,
    poll_owed_at BIGINT,
    poll_attempts INTEGER NOT NULL DEFAULT 0,
    poll_class TEXT,
    poll_error TEXT,
    fence BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT,
    poll_hinted_at BIGINT,
    push_hinted_at BIGINT,
    read_hinted_at BIGINT,
    walk_owed BIGINT NOT NULL DEFAULT 0,
    walk_position TEXT,
    excluded BIGINT NOT NULL DEFAULT 0,
    conflicts BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL DEFAULT {now}
);
CREATE TABLE tidemark_window (
    id {id},
    stream_id BIGINT NOT NULL REFERENCES tidemark_stream(id) ON DELETE CASCADE,
    reader TEXT NOT NULL,
    from_stamp BIGINT NOT NULL,
    until_stamp BIGINT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    position TEXT,
    query_digest TEXT NOT NULL,
    pages BIGINT NOT NULL DEFAULT 0,
    records BIGINT NOT NULL DEFAULT 0,
    rows_changed BIGINT NOT NULL DEFAULT 0,
    parked BIGINT NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL DEFAULT {now},
    ended_at BIGINT
);
CREATE INDEX tidemark_window_open ON tidemark_window (stream_id, reader) WHERE state = 'open';
CREATE INDEX tidemark_window_recent ON tidemark_window (stream_id, id);
CREATE TABLE tidemark_link (
    id {id},
    stream_id BIGINT NOT NULL,
    row_key TEXT,
    remote_id TEXT,
    state TEXT NOT NULL,
    base TEXT NOT NULL DEFAULT '{}',
    seen BIGINT,
    written_at BIGINT,
    push_until BIGINT,
    push_fence TEXT,
    version BIGINT NOT NULL DEFAULT 0,
    ghosts TEXT,
    created_at BIGINT NOT NULL DEFAULT {now}
);
CREATE UNIQUE INDEX tidemark_link_row ON tidemark_link (stream_id, row_key);
CREATE UNIQUE INDEX tidemark_link_remote ON tidemark_link (stream_id, remote_id);
CREATE INDEX tidemark_link_pushed ON tidemark_link (push_fence) WHERE push_fence IS NOT NULL;
CREATE INDEX tidemark_link_creating ON tidemark_link (stream_id) WHERE state = 'creating';
CREATE TABLE tidemark_debt (
    id {id},
    stream_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    generation BIGINT NOT NULL DEFAULT 0,
    reborn BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL DEFAULT {now},
    attempts INTEGER NOT NULL DEFAULT 0,
    class TEXT,
    code TEXT,
    cause TEXT,
    next_step TEXT,
    lease_fence TEXT,
    lease_until BIGINT,
    changed_at BIGINT NOT NULL DEFAULT {now},
    created_at BIGINT NOT NULL DEFAULT {now}
);
CREATE UNIQUE INDEX tidemark_debt_one ON tidemark_debt (stream_id, kind, subject);
CREATE INDEX tidemark_debt_parent ON tidemark_debt (code) WHERE state = 'parent';
CREATE INDEX tidemark_debt_leased ON tidemark_debt (lease_fence) WHERE lease_fence IS NOT NULL;
CREATE INDEX tidemark_debt_due ON tidemark_debt (stream_id, kind, due_at) WHERE state <> 'parked';
CREATE TABLE tidemark_change (
    id {id},
    table_name TEXT NOT NULL,
    op TEXT NOT NULL,
    row_key TEXT,
    txid BIGINT,
    at BIGINT NOT NULL DEFAULT {now}
);
CREATE TABLE tidemark_budget (
    connection TEXT NOT NULL,
    bucket TEXT NOT NULL,
    tat_us BIGINT NOT NULL DEFAULT 0,
    day BIGINT NOT NULL DEFAULT 0,
    day_calls BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (connection, bucket)
);
CREATE TABLE tidemark_callout (
    id {id},
    connection TEXT NOT NULL,
    stream_id BIGINT,
    purpose TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    method TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    items INTEGER NOT NULL,
    status INTEGER,
    class TEXT,
    message TEXT,
    elapsed_ms INTEGER NOT NULL,
    quota_left BIGINT,
    at BIGINT NOT NULL DEFAULT {now}
);
CREATE INDEX tidemark_callout_recent ON tidemark_callout (at);
CREATE TABLE tidemark_worker (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    started_at BIGINT NOT NULL DEFAULT {now},
    beat_at BIGINT NOT NULL DEFAULT {now}
);
CREATE TABLE tidemark_act (
    id {id},
    at BIGINT NOT NULL DEFAULT {now},
    who TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT
)
";

const DOWN: &str = "
DROP TABLE IF EXISTS tidemark_act;
DROP TABLE IF EXISTS tidemark_callout;
DROP TABLE IF EXISTS tidemark_budget;
DROP TABLE IF EXISTS tidemark_worker;
DROP TABLE IF EXISTS tidemark_change;
DROP TABLE IF EXISTS tidemark_debt;
DROP TABLE IF EXISTS tidemark_link;
DROP TABLE IF EXISTS tidemark_window;
DROP TABLE IF EXISTS tidemark_stream;
DROP TABLE IF EXISTS tidemark_connection;
DROP TABLE IF EXISTS tidemark_meta
";
