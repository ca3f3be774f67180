-- The schema of myha itself, made on each node without binary log.

-- name: make_schema
CREATE DATABASE IF NOT EXISTS myha DEFAULT CHARACTER SET utf8mb4;

-- name: make_heartbeat
-- As pt-heartbeat makes it: its tools read it, and one that runs already can go on.
CREATE TABLE IF NOT EXISTS myha.heartbeat (
    ts VARCHAR(26) NOT NULL,
    server_id INT UNSIGNED NOT NULL PRIMARY KEY,
    file VARCHAR(255) DEFAULT NULL,
    position BIGINT UNSIGNED DEFAULT NULL,
    relay_master_log_file VARCHAR(255) DEFAULT NULL,
    exec_master_log_pos BIGINT UNSIGNED DEFAULT NULL
) ENGINE = InnoDB;

-- name: make_proof
-- Every change of writer is proved by a write: one row for each epoch.
CREATE TABLE IF NOT EXISTS myha.proof (
    epoch BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    node VARCHAR(64) NOT NULL,
    at DOUBLE NOT NULL
) ENGINE = InnoDB;

-- name: make_marker
-- Setup's own proof: a row written on each node arrives on the other, with an id of its class.
CREATE TABLE IF NOT EXISTS myha.marker (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    node VARCHAR(64) NOT NULL,
    token CHAR(32) NOT NULL,
    at DOUBLE NOT NULL
) ENGINE = InnoDB;

-- name: make_disabled_events
-- Which scheduled events the application has disabled on the writer: a replica cannot tell.
CREATE TABLE IF NOT EXISTS myha.disabled_events (
    event_schema VARCHAR(64) NOT NULL,
    event_name VARCHAR(64) NOT NULL,
    PRIMARY KEY (event_schema, event_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- name: write_marker
INSERT INTO myha.marker (node, token, at) VALUES (%(node)s, %(token)s, UNIX_TIMESTAMP(NOW(6)));

-- name: forget_markers
DELETE FROM myha.marker WHERE node = %(node)s AND token <> %(token)s;

-- name: make_claim
-- Which supervisor acts on the node. The row is the node's own.
CREATE TABLE IF NOT EXISTS myha.claim (
    one TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    store VARCHAR(64) CHARACTER SET ascii NOT NULL,
    term BIGINT UNSIGNED NOT NULL,
    account VARCHAR(128) NOT NULL,
    holder VARCHAR(200) NOT NULL,
    at DOUBLE NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- name: take_claim
-- By an administrator, of a node that another store's supervisor has. The account stays: whoever
-- claims the node next ends the sessions of that one too.
UPDATE myha.claim
SET store = %(store)s, term = 0, holder = 'myha setup', at = UNIX_TIMESTAMP(NOW(6));
