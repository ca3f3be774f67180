-- Replacing a fenced MariaDB node's data with that of its peer. `{...}` are identifiers and words,
-- `%(...)s` values. The administrator runs these; none of them may reach the binary log.

-- name: session
SET SESSION sql_log_bin = 0;
-- Some sessions wait for hours while others copy.
SET SESSION wait_timeout = 86400;

-- name: let_us_write
-- read_only lets the accounts through that may write under it.
SET GLOBAL read_only = ON;

-- name: close
SET GLOBAL read_only = ON;

-- name: stop_replication
STOP ALL SLAVES;

-- name: forget_replication
STOP SLAVE;
RESET SLAVE ALL;

-- name: set_history
-- Before the data is replaced: a mark that no other server has, so that half-made data is never taken
-- for anybody's. Afterwards: what the donor had. Strict mode would refuse a position that is behind.
RESET MASTER;
SET GLOBAL gtid_binlog_state = %(history)s;
SET GLOBAL gtid_slave_pos = %(position)s;

-- name: lock_commits
-- For the instant in which the snapshots are taken: new commits wait, running statements go on.
SET SESSION lock_wait_timeout = 1;
BACKUP STAGE START;
BACKUP STAGE BLOCK_COMMIT;

-- name: unlock_commits
BACKUP STAGE END;

-- name: reader
-- Nothing cuts a table short, and a loader that is slow for a while does not end the connection.
SET SESSION net_write_timeout = 3600;
SET SESSION sql_select_limit = 18446744073709551615;
SET SESSION max_statement_time = 0;
SET SESSION sql_mode = 'ALLOW_INVALID_DATES';

-- name: take_snapshot
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
START TRANSACTION WITH CONSISTENT SNAPSHOT;

-- name: take_bearings
SAVEPOINT myha_table;

-- name: let_go_of_table
-- Gives the metadata lock back: a change of a table that is already copied need not wait.
ROLLBACK TO SAVEPOINT myha_table;

-- name: take_local_files
SET GLOBAL local_infile = ON;

-- name: refuse_local_files
SET GLOBAL local_infile = OFF;

-- name: loader
-- Rows are loaded as they are: nothing is checked against what the donor has checked already.
SET SESSION net_read_timeout = 3600;
SET SESSION foreign_key_checks = 0;
SET SESSION unique_checks = 0;
SET SESSION check_constraint_checks = 0;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET SESSION lock_wait_timeout = 60;

-- name: free_table_definitions
-- A definition may have been made under other rules than those of today.
SET SESSION innodb_strict_mode = OFF;

-- name: connection_collation
SET SESSION collation_connection = %(collation)s;

-- name: session_mode
SET SESSION sql_mode = %(mode)s;

-- name: session_time_zone
SET SESSION time_zone = %(zone)s;

-- name: set_sequence
DO SETVAL({sequence}, %(value)s, 0);

-- name: roll_back_prepared
XA ROLLBACK {xid};

-- name: drop_schema
DROP DATABASE IF EXISTS {schema};

-- name: empty_table
-- Of myha's own: other sessions look into them all the time, so they are never dropped.
DELETE FROM {table};

-- name: load
-- Rows pass as bytes, from one server to the other, with what the protocol puts around each of them:
-- everything before the mark of a line's beginning is skipped. {columns} and {settings} as below.
LOAD DATA LOCAL INFILE 'rows' INTO TABLE {table} CHARACTER SET binary
FIELDS TERMINATED BY {separator} ESCAPED BY {escape}
LINES STARTING BY {start} TERMINATED BY {end}
({columns}){settings};

-- name: begin
START TRANSACTION;

-- name: commit
COMMIT;

-- name: empty_grants
DELETE FROM {table} WHERE {others};

-- name: take_grants
FLUSH PRIVILEGES;

-- name: leave_event
-- Without its definer it would become ours.
ALTER DEFINER = {definer} EVENT {event} DISABLE ON SLAVE;

-- name: stop_scheduler
-- Setup's settings, which come last, switch it on again.
SET GLOBAL event_scheduler = OFF;
