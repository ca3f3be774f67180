-- What the supervisor changes on a running MariaDB server (10.11 and newer), one block for each step.
--
-- Privileges of the supervisor's account (no SUPER):
--   PROCESS, BINLOG MONITOR, SLAVE MONITOR     who is connected, how replication stands
--   REPLICATION SLAVE ADMIN                    start and stop replication, semi-sync of the replica
--   REPLICATION MASTER ADMIN                   semi-sync of the source
--   READ_ONLY ADMIN                            read_only
--   CONNECTION ADMIN                           KILL, login when the server is full
--   EVENT, SET USER                            the application's events
--   SELECT, INSERT, UPDATE, DELETE on myha.*   heartbeat and proof
-- read_only does not bind accounts with READ_ONLY ADMIN or SUPER: give clients neither.

-- name: stop_receiver
STOP SLAVE IO_THREAD;

-- name: stop_replication
STOP SLAVE;

-- name: forget_received
-- With both threads stopped this drops the relay log, and the set of what was received with it.
CHANGE MASTER TO MASTER_USE_GTID = slave_pos;

-- name: set_position
-- Strict mode refuses a position behind the node's own binlog; that of a peer which has not yet got
-- all of a writer's transactions is behind it, and right.
SET GLOBAL gtid_strict_mode = OFF;
SET GLOBAL gtid_slave_pos = %(position)s;
SET GLOBAL gtid_strict_mode = ON;

-- name: start_replication
START SLAVE;

-- name: start_applier
START SLAVE SQL_THREAD;

-- name: ask_for_semisync
-- The receiver asks its source for semi-sync when it connects, so this comes before the start.
SET GLOBAL rpl_semi_sync_slave_enabled = ON;

-- name: stop_asking_for_semisync
-- A read replica must never acknowledge. The receiver has to be started anew for it to count.
SET GLOBAL rpl_semi_sync_slave_enabled = OFF;

-- name: open
-- %(until)s is on the server's own clock. A server that hung with this statement in its socket must
-- not carry it out when it goes on, long after the step was given up.
SET GLOBAL read_only = IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.read_only);

-- name: close
-- Waits for statements and commits in flight; new ones wait behind it, so nothing starves it.
SET SESSION lock_wait_timeout = %(wait_seconds)s, GLOBAL read_only = ON;

-- name: enable_waiting
-- The state first, the switch last: from the switch on, commits wait as the state says. In one
-- statement, which sets them in this order: in a switchover clients wait for it.
SET GLOBAL rpl_semi_sync_master_timeout = %(timeout_ms)s,
    GLOBAL rpl_semi_sync_master_wait_no_slave = ON,
    GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC',
    GLOBAL rpl_semi_sync_master_enabled = ON;

-- name: disable_waiting
-- Releases the commits that wait, and tells their clients OK. %(until)s as in `open`.
SET GLOBAL rpl_semi_sync_master_enabled =
    IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.rpl_semi_sync_master_enabled);

-- name: kill_session
-- Also ends a commit's wait for an acknowledgement; its client hears nothing.
KILL CONNECTION %(id)s;

-- name: kill_statement
KILL QUERY %(id)s;

-- name: prove_write
REPLACE INTO myha.proof (epoch, node, at) VALUES (%(epoch)s, %(node)s, %(at)s);

-- name: write_heartbeat
-- One row for each writer, as pt-heartbeat keeps it.
REPLACE INTO myha.heartbeat (ts, server_id) VALUES (%(ts)s, @@GLOBAL.server_id);

-- name: unlogged_session
-- The status of an event is a node's own: replicated it would be the peer's too, and DDL that only
-- one node has, which nothing can undo.
SET SESSION sql_log_bin = 0;

-- name: logged_session
SET SESSION sql_log_bin = 1;

-- name: enable_event
-- Without its definer it would become ours.
ALTER DEFINER = {definer} EVENT {event} ENABLE;

-- name: disable_event
ALTER DEFINER = {definer} EVENT {event} DISABLE;

-- name: leave_event
-- As a replica has them. Also where the peer is not there to run it.
ALTER DEFINER = {definer} EVENT {event} DISABLE ON SLAVE;

-- name: note_disabled_event
REPLACE INTO myha.disabled_events (event_schema, event_name) VALUES (%(schema)s, %(name)s);

-- name: forget_disabled_event
DELETE FROM myha.disabled_events WHERE event_schema = %(schema)s AND event_name = %(name)s;

-- name: write_claim
-- Never backwards, and never over that of another store, whoever comes late: the conditions are the
-- statement's own. They look at `term`, so that one is set last.
INSERT INTO myha.claim (one, store, term, account, holder, at)
VALUES (1, %(store)s, %(term)s, %(account)s, %(holder)s, UNIX_TIMESTAMP(NOW(6)))
ON DUPLICATE KEY UPDATE
    account = IF(store = %(store)s AND term < %(term)s, %(account)s, account),
    holder = IF(store = %(store)s AND term < %(term)s, %(holder)s, holder),
    at = IF(store = %(store)s AND term < %(term)s, UNIX_TIMESTAMP(NOW(6)), at),
    term = IF(store = %(store)s AND term < %(term)s, %(term)s, term);
