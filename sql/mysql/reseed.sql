-- Replacing a fenced MySQL node's data with that of its peer. `{...}` are identifiers and words,
-- `%(...)s` values. The administrator runs these; none of them may reach the binary log.

-- name: session
SET SESSION sql_log_bin = 0;
-- Some sessions wait for hours while others copy.
SET SESSION wait_timeout = 86400;

-- name: let_us_write
-- read_only stays on: only accounts that may write under it can. The lock: see control.sql.
DO GET_LOCK('myha.lift', 0);
SET GLOBAL read_only = ON;
SET GLOBAL super_read_only = OFF;

-- name: close
SET GLOBAL super_read_only = ON;

-- name: stop_replication
STOP REPLICA;

-- name: forget_replication
STOP REPLICA;
RESET REPLICA ALL;

-- name: set_history
-- Before the data is replaced: a mark that no other server has, so that half-made data is never taken
-- for anybody's. Afterwards: what the donor had.
RESET BINARY LOGS AND GTIDS;
SET GLOBAL gtid_purged = %(history)s;

-- name: set_history_older_servers
RESET MASTER;
SET GLOBAL gtid_purged = %(history)s;

-- name: install_clone
INSTALL PLUGIN clone SONAME 'mysql_clone.so';

-- name: make_clone_account
-- For one clone only: the least that its donor asks for, a password of its own, removed afterwards.
DROP USER IF EXISTS %(user)s@'%%';
CREATE USER %(user)s@'%%' IDENTIFIED BY %(password)s REQUIRE {tls};
GRANT BACKUP_ADMIN ON *.* TO %(user)s@'%%';

-- name: drop_clone_account
DROP USER IF EXISTS %(user)s@'%%';

-- name: allow_donor
SET GLOBAL clone_valid_donor_list = %(donor)s;

-- name: clone
CLONE INSTANCE FROM %(user)s@%(host)s:{port} IDENTIFIED BY %(password)s {tls};

-- name: lock_commits
-- For the instant in which the snapshots are taken. It waits for statements that run, and what writes
-- waits behind it: hence the limit, after which it is given up and tried again.
SET SESSION lock_wait_timeout = 1;
FLUSH TABLES WITH READ LOCK;

-- name: unlock_commits
UNLOCK TABLES;

-- name: reader
-- Nothing cuts a table short, and a loader that is slow for a while does not end the connection.
SET SESSION net_write_timeout = 3600;
SET SESSION sql_select_limit = 18446744073709551615;
SET SESSION max_execution_time = 0;
SET SESSION sql_mode = 'ALLOW_INVALID_DATES';

-- name: take_snapshot
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;

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
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET SESSION lock_wait_timeout = 60;

-- name: free_table_definitions
-- A definition may have been made under other rules than those of today.
SET SESSION innodb_strict_mode = OFF;
SET SESSION sql_require_primary_key = OFF;
SET SESSION sql_generate_invisible_primary_key = OFF;

-- name: connection_collation
SET SESSION collation_connection = %(collation)s;

-- name: session_mode
SET SESSION sql_mode = %(mode)s;

-- name: session_time_zone
SET SESSION time_zone = %(zone)s;

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
ALTER DEFINER = {definer} EVENT {event} DISABLE ON REPLICA;

-- name: leave_event_older_servers
ALTER DEFINER = {definer} EVENT {event} DISABLE ON SLAVE;

-- name: stop_scheduler
-- Setup's settings, which come last, switch it on again.
SET GLOBAL event_scheduler = OFF;
