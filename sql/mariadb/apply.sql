-- Applying transactions of a quarantine, or of another node, on the MariaDB server that takes writes.
-- `%(...)s` are values.

-- name: session
-- Nobody waits for us, nor we for them, for long.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET SESSION foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = 5, lock_wait_timeout = 5, wait_timeout = 3600;

-- name: unlogged
SET SESSION sql_log_bin = 0;

-- name: logged
SET SESSION sql_log_bin = 1;

-- name: name_original
-- The next transaction is the very one that the node has, so that neither sends it to the other.
-- (The number in a statement of its own: strict mode checks it against the domain of before.)
SET SESSION gtid_domain_id = %(domain)s, server_id = %(server_id)s;
SET SESSION gtid_seq_no = %(number)s;

-- name: name_new
SET SESSION gtid_seq_no = 0;
SET SESSION gtid_domain_id = @@GLOBAL.gtid_domain_id, server_id = @@GLOBAL.server_id;

-- name: begin
START TRANSACTION;

-- name: set_mark
SAVEPOINT myha;

-- name: back_to_mark
ROLLBACK TO SAVEPOINT myha;

-- name: apply
BINLOG %(events)s;

-- name: commit
COMMIT;

-- name: roll_back
ROLLBACK;

-- name: make_replayed_table
-- Replicated with the rows that it vouches for: what was replayed from a quarantine, once and for all.
CREATE DATABASE IF NOT EXISTS myha DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS myha.replayed (
    digest CHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY,
    incident VARCHAR(200) NOT NULL,
    gtid VARCHAR(200) NOT NULL,
    changed_rows BIGINT UNSIGNED NOT NULL,
    replayed_at DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- name: note_replayed
-- The server's clock itself: applying events sets the session's time to theirs.
INSERT INTO myha.replayed (digest, incident, gtid, changed_rows, replayed_at)
VALUES (%(digest)s, %(incident)s, %(gtid)s, %(rows)s, SYSDATE(6));
