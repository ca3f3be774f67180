-- What `myha setup` changes on a MySQL server. `{...}` are identifiers, `%(...)s` values.

-- name: session
-- Nothing of this goes into the binary log, unless it is asked for.
SET SESSION sql_log_bin = 0;

-- name: session_logged
-- The proof has to reach the peer.
SET SESSION sql_log_bin = 1;

-- name: set_now_and_at_boot
SET PERSIST {variable} = {value};

-- name: set_at_boot
SET PERSIST_ONLY {variable} = {value};

-- name: install_semi_sync_source
INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so';

-- name: install_semi_sync_replica
INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so';

-- name: super_read_only_off
-- The lock: see control.sql.
DO GET_LOCK('myha.lift', 0);
SET GLOBAL super_read_only = OFF;

-- name: super_read_only_on
SET GLOBAL super_read_only = ON;
DO RELEASE_LOCK('myha.lift');

-- name: close
SET GLOBAL super_read_only = ON;

-- name: open
SET GLOBAL super_read_only = OFF;
SET GLOBAL read_only = OFF;

-- name: forget_history
RESET BINARY LOGS AND GTIDS;

-- name: forget_history_older_servers
RESET MASTER;

-- name: stop_replication
STOP REPLICA;

-- name: start_replication
START REPLICA;

-- name: forget_replication
-- Of a read replica that is none any more.
STOP REPLICA;
RESET REPLICA ALL;

-- name: replicate
CHANGE REPLICATION SOURCE TO
    SOURCE_HOST = %(host)s,
    SOURCE_PORT = %(port)s,
    SOURCE_USER = %(user)s,
    SOURCE_PASSWORD = %(password)s,
    SOURCE_AUTO_POSITION = 1,
    SOURCE_CONNECT_RETRY = %(retry)s,
    SOURCE_RETRY_COUNT = %(retry_count)s,
    SOURCE_HEARTBEAT_PERIOD = %(heartbeat)s,
    SOURCE_DELAY = %(delay)s,
    SOURCE_SSL = %(tls)s,
    GET_SOURCE_PUBLIC_KEY = 1;

-- name: place_by_gtid
-- What it has is the same by either way of counting. The relay logs are fetched anew.
CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1;

-- name: await_position
SELECT SOURCE_POS_WAIT(%(file)s, %(offset)s, %(seconds)s);

-- name: stop_waiting
-- The standby's channel is going to rest. Clients get their OK from here on as without semi-sync.
SET GLOBAL rpl_semi_sync_source_enabled = OFF;

-- name: clear_filters
-- Without a channel's name: for all channels, and for those that are made later.
CHANGE REPLICATION FILTER
    REPLICATE_DO_DB = (),
    REPLICATE_IGNORE_DB = (),
    REPLICATE_DO_TABLE = (),
    REPLICATE_IGNORE_TABLE = (),
    REPLICATE_WILD_DO_TABLE = (),
    REPLICATE_WILD_IGNORE_TABLE = (),
    REPLICATE_REWRITE_DB = ();

-- name: end_session
KILL CONNECTION %(number)s;
