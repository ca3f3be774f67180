-- Undoing errant transactions on a fenced MySQL server. `%(...)s` are values.

-- name: session
-- Nothing of an undo may be replicated, and a row that is not there must be an error.
SET SESSION sql_log_bin = 0;
-- Much may have to be read between two statements.
SET SESSION wait_timeout = 3600;
SET SESSION rbr_exec_mode = 'STRICT';

-- name: make_marker_table
-- Local to each node, never replicated: an undo and the reset of the GTID state that must follow it.
CREATE DATABASE IF NOT EXISTS myha DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS myha.rewind (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    server_id INT UNSIGNED NOT NULL,
    executed LONGTEXT NOT NULL,
    kept LONGTEXT NOT NULL,
    history LONGTEXT NOT NULL,
    transactions BIGINT UNSIGNED NOT NULL,
    changed_rows BIGINT UNSIGNED NOT NULL,
    quarantine TEXT NOT NULL,
    undone_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    finished_at TIMESTAMP(6) NULL DEFAULT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- name: let_us_write
-- read_only stays on: only accounts that may write under it can. The lock: see control.sql.
DO GET_LOCK('myha.lift', 0);
SET GLOBAL super_read_only = OFF;

-- name: close
SET GLOBAL super_read_only = ON;

-- name: after_format
-- A format description leaves the session waiting for a GTID; with no binlog none is used up.
SET SESSION gtid_next = 'AUTOMATIC';

-- name: begin
START TRANSACTION;

-- name: apply
BINLOG %(events)s;

-- name: mark
INSERT INTO myha.rewind (server_id, executed, kept, history, transactions, changed_rows, quarantine)
VALUES (@@GLOBAL.server_id, %(executed)s, %(kept)s, %(history)s, %(transactions)s, %(rows)s, %(quarantine)s);

-- name: commit
COMMIT;

-- name: roll_back
ROLLBACK;

-- name: make_durable
-- The reset of the binary logs must never survive an undo that was lost.
FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS;

-- name: reset_history
RESET BINARY LOGS AND GTIDS;
SET GLOBAL gtid_purged = %(history)s;

-- name: mark_finished
UPDATE myha.rewind SET finished_at = CURRENT_TIMESTAMP(6) WHERE id = %(id)s;
