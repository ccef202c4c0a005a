-- The head has one row. Who locks it has the turn to change groups.
CREATE TABLE pushgateway_head (
	one      boolean PRIMARY KEY DEFAULT true CHECK (one),
	sequence bigint  NOT NULL, -- of the last commit
	token    uuid    NOT NULL, -- of the last commit, random
	wiped    bigint  NOT NULL, -- the last commit that deleted all groups
	pruned   bigint  NOT NULL, -- tombstones up to this commit may be gone
	timeline bigint  NOT NULL  -- of the server that all live replicas have caught up with
) WITH (fillfactor = 10);

-- The last commits, by which replicas see whether the database still has what they know.
CREATE TABLE pushgateway_commits (
	sequence bigint PRIMARY KEY,
	token    uuid   NOT NULL
);

-- The groups, each in its last state.
CREATE TABLE pushgateway_groups (
	hash            bytea  PRIMARY KEY, -- SHA-256 of the ID, which can be too long for an index
	id              bytea  NOT NULL,
	sequence        bigint NOT NULL,    -- of the commit that wrote the record
	origin_sequence bigint,             -- if that was a repair: of the commit that it repeated
	origin_token    uuid,
	record          bytea               -- NULL is a tombstone: the group was deleted
);
CREATE INDEX pushgateway_groups_sequence ON pushgateway_groups (sequence);
CREATE INDEX pushgateway_groups_tombstones ON pushgateway_groups (sequence) WHERE record IS NULL;
-- Compressing records would cost more time than writing them.
ALTER TABLE pushgateway_groups ALTER COLUMN record SET STORAGE EXTERNAL;

-- The gateways that use this database. Each is a row while its process runs.
CREATE TABLE pushgateway_replicas (
	process   uuid        PRIMARY KEY,
	name      text        NOT NULL,
	version   text        NOT NULL,
	sequence  bigint      NOT NULL, -- of the last commit that it has
	timeline  bigint      NOT NULL, -- of the server that it has last caught up with
	started   timestamptz NOT NULL,
	heartbeat timestamptz NOT NULL,
	rules     text        NOT NULL, -- hashes of its rules file and its auth file; may be empty
	auth      text        NOT NULL
) WITH (fillfactor = 50);
