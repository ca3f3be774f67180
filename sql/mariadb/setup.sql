-- What `myha setup` changes on a MariaDB server. `{...}` are identifiers, `%(...)s` values.

-- name: session
-- Nothing of this goes into the binary log, unless it is asked for.
SET SESSION sql_log_bin = 0;

-- name: session_logged
-- The proof has to reach the peer.
SET SESSION sql_log_bin = 1;

-- name: set_now_and_at_boot
-- There is no SET PERSIST: the option file fragment makes it permanent.
SET GLOBAL {variable} = {value};

-- name: close
SET GLOBAL read_only = ON;

-- name: open
SET GLOBAL read_only = OFF;

-- name: forget_history
RESET MASTER;
SET GLOBAL gtid_slave_pos = '';

-- name: take_history_as_replicated
SET GLOBAL gtid_slave_pos = %(position)s;

-- name: take_earlier_history_as_replicated
-- Strict mode refuses a position behind the node's own binlog; that of a peer which has not yet got
-- all of it is behind it, and right.
SET GLOBAL gtid_strict_mode = OFF;
SET GLOBAL gtid_slave_pos = %(position)s;
SET GLOBAL gtid_strict_mode = ON;

-- name: stop_replication
STOP SLAVE;

-- name: start_replication
START SLAVE;

-- name: forget_replication
-- Of a read replica that is none any more.
STOP SLAVE;
RESET SLAVE ALL;

-- name: replicate
CHANGE MASTER TO
    MASTER_HOST = %(host)s,
    MASTER_PORT = %(port)s,
    MASTER_USER = %(user)s,
    MASTER_PASSWORD = %(password)s,
    MASTER_USE_GTID = slave_pos,
    MASTER_CONNECT_RETRY = %(retry)s,
    MASTER_HEARTBEAT_PERIOD = %(heartbeat)s,
    MASTER_DELAY = %(delay)s,
    IGNORE_SERVER_IDS = (),
    IGNORE_DOMAIN_IDS = (),
    DO_DOMAIN_IDS = (),
    MASTER_SSL = %(tls)s,
    MASTER_SSL_VERIFY_SERVER_CERT = 0;

-- name: place_by_gtid
-- Strict mode refuses a position behind the node's own binlog; that of a peer which has not yet got
-- all of it is behind it, and right.
SET GLOBAL gtid_strict_mode = OFF;
SET GLOBAL gtid_slave_pos = %(position)s;
SET GLOBAL gtid_strict_mode = ON;
CHANGE MASTER TO MASTER_USE_GTID = slave_pos;

-- name: stop_waiting
-- The standby's channel is going to rest. Clients get their OK from here on as without semi-sync.
SET GLOBAL rpl_semi_sync_master_enabled = OFF;

-- name: clear_filters
-- Those of server ids and domains are options of the channel, see `replicate`.
SET GLOBAL replicate_do_db = '';
SET GLOBAL replicate_ignore_db = '';
SET GLOBAL replicate_do_table = '';
SET GLOBAL replicate_ignore_table = '';
SET GLOBAL replicate_wild_do_table = '';
SET GLOBAL replicate_wild_ignore_table = '';
SET GLOBAL replicate_rewrite_db = '';
SET GLOBAL replicate_events_marked_for_skip = 'REPLICATE';

-- name: end_session
KILL CONNECTION %(number)s;

-- name: note_increments
-- No view tells which increments a session holds: whoever connected before this one has old ones.
REPLACE INTO myha.increments (server_id, connection_id) VALUES (@@server_id, CONNECTION_ID());
