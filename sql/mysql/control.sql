-- What the supervisor changes on a running MySQL server (8.0.26 and newer), one block for each step.
-- {source} and {replica} are the words in the names of the semi-sync variables: "source" and "replica",
-- or "master" and "slave" where the older plugins are loaded.
--
-- Privileges of the supervisor's account:
--   PROCESS, REPLICATION CLIENT          who is connected, how replication stands
--   REPLICATION_SLAVE_ADMIN              start and stop replication
--   SYSTEM_VARIABLES_ADMIN               read-only, semi-sync, offline mode
--   PERSIST_RO_VARIABLES_ADMIN           put right what the server starts with
--   CONNECTION_ADMIN                     KILL, offline mode, login when the server is full or offline
--   SYSTEM_USER                          KILL sessions of accounts that have SYSTEM_USER themselves
--   SELECT on performance_schema.*       all looks
--   EVENT, SET_ANY_DEFINER               the application's events (SET_USER_ID on older servers)
--   SELECT, INSERT, UPDATE, DELETE on myha.*   heartbeat and proof

-- name: stop_receiver
STOP REPLICA IO_THREAD;

-- name: stop_replication
STOP REPLICA;

-- name: forget_received
-- With both threads stopped this drops the relay log, and the set of what was received with it.
CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1;

-- name: start_replication
START REPLICA;

-- name: start_applier
START REPLICA SQL_THREAD;

-- name: ask_for_semisync
-- The receiver asks its source for semi-sync when it connects, so this comes before the start.
SET GLOBAL rpl_semi_sync_{replica}_enabled = ON;

-- name: stop_asking_for_semisync
-- A read replica must never acknowledge. The receiver has to be started anew for it to count.
SET GLOBAL rpl_semi_sync_{replica}_enabled = OFF;

-- name: open
-- %(until)s is on the server's own clock. A server that hung with this statement in its socket must
-- not carry it out when it goes on, long after the step was given up.
SET GLOBAL super_read_only = IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.super_read_only),
    GLOBAL read_only = IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.read_only),
    GLOBAL offline_mode = IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.offline_mode);

-- name: close
-- Waits for statements and commits in flight; new ones wait behind it, so nothing starves it.
SET SESSION lock_wait_timeout = %(wait_seconds)s, GLOBAL super_read_only = ON;

-- name: cut_clients
-- Ends every session without CONNECTION_ADMIN and refuses new ones. Threads that wait for an
-- acknowledgement stay, but have nobody left to tell.
SET GLOBAL offline_mode = ON;

-- name: admit_clients
SET GLOBAL offline_mode = OFF;

-- name: enable_waiting
-- The state first, the switch last: from the switch on, commits wait as the state says. In one
-- statement, which sets them in this order: in a switchover clients wait for it.
SET GLOBAL rpl_semi_sync_{source}_timeout = %(timeout_ms)s,
    GLOBAL rpl_semi_sync_{source}_wait_for_{replica}_count = %(count)s,
    GLOBAL rpl_semi_sync_{source}_wait_no_{replica} = ON,
    GLOBAL rpl_semi_sync_{source}_wait_point = 'AFTER_SYNC',
    GLOBAL rpl_semi_sync_{source}_enabled = ON;

-- name: wait_for_present_only
-- With no standby connected this ends all waiting, at once. %(until)s as in `open`.
SET GLOBAL rpl_semi_sync_{source}_wait_no_{replica} =
    IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.rpl_semi_sync_{source}_wait_no_{replica});

-- name: disable_waiting
-- Releases the commits that wait, and tells their clients OK. %(until)s as in `open`.
SET GLOBAL rpl_semi_sync_{source}_enabled =
    IF(UNIX_TIMESTAMP(SYSDATE(6)) < %(until)s, 0, @@GLOBAL.rpl_semi_sync_{source}_enabled);

-- name: kill_session
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
ALTER DEFINER = {definer} EVENT {event} DISABLE ON REPLICA;

-- name: leave_event_older_servers
ALTER DEFINER = {definer} EVENT {event} DISABLE ON SLAVE;

-- name: note_disabled_event
REPLACE INTO myha.disabled_events (event_schema, event_name) VALUES (%(schema)s, %(name)s);

-- name: forget_disabled_event
DELETE FROM myha.disabled_events WHERE event_schema = %(schema)s AND event_name = %(name)s;

-- name: stop_scheduler
SET GLOBAL event_scheduler = OFF;

-- name: start_scheduler
SET GLOBAL event_scheduler = ON;

-- name: let_us_alter_events
-- read_only stays on: only accounts that may write under it can. While the lock is held somebody is
-- at work; super_read_only that is off without it is one who died at it, and is put right.
DO GET_LOCK('myha.lift', 0);
SET GLOBAL super_read_only = IF(@@GLOBAL.read_only, 0, @@GLOBAL.super_read_only);

-- name: close_again
-- Not on a node that has been opened meanwhile.
SET GLOBAL super_read_only = IF(@@GLOBAL.read_only, 1, @@GLOBAL.super_read_only);
DO RELEASE_LOCK('myha.lift');

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
