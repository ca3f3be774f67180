-- What `myha release` changes on a MySQL server beside what `setup.sql` names.

-- name: let_boot_open
-- It comes up as its option file says, and replicates.
RESET PERSIST IF EXISTS super_read_only;
RESET PERSIST IF EXISTS read_only;

-- name: let_boot_replicating
RESET PERSIST IF EXISTS skip_replica_start;
RESET PERSIST IF EXISTS rpl_semi_sync_source_enabled;
RESET PERSIST IF EXISTS rpl_semi_sync_source_wait_point;
RESET PERSIST IF EXISTS rpl_semi_sync_source_wait_no_replica;
RESET PERSIST IF EXISTS rpl_semi_sync_replica_enabled;

-- name: stop_acknowledging
-- A receiver that is connected asked for it when it connected; with nobody waiting that is nothing.
SET GLOBAL rpl_semi_sync_replica_enabled = OFF;

-- name: drop_schema
-- Into the binary log: a row of the heartbeat that is on its way arrives before this.
DROP DATABASE IF EXISTS myha;

-- name: drop_account
DROP USER IF EXISTS %(user)s@'%%';
