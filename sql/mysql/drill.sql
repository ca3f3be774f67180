-- What a drill writes: its two tables, and the statements of its clients' small transactions.
-- `origin` is the server that took the write, asked once for each session and replicated as a value:
-- it tells afterwards on which node every row was written.

-- name: drill_tables
DROP TABLE IF EXISTS myha_drill;
DROP TABLE IF EXISTS myha_drill_ids;
DROP TABLE IF EXISTS myha_drill_errant;
DROP TABLE IF EXISTS myha_drill_ticks;
CREATE TABLE myha_drill (
  client INT NOT NULL,
  number BIGINT NOT NULL,
  payload VARCHAR(64) NOT NULL,
  origin BIGINT NOT NULL,
  PRIMARY KEY (client, number)
) ENGINE = InnoDB;
CREATE TABLE myha_drill_ids (
  id BIGINT NOT NULL AUTO_INCREMENT,
  client INT NOT NULL,
  number BIGINT NOT NULL,
  origin BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

-- name: drill_drop
DROP TABLE IF EXISTS myha_drill;
DROP TABLE IF EXISTS myha_drill_ids;
DROP TABLE IF EXISTS myha_drill_errant;
DROP TABLE IF EXISTS myha_drill_ticks;
DROP EVENT IF EXISTS myha_drill_ticks;

-- An event that runs every second, and one that the application has disabled.

-- name: drill_make_ticks
CREATE TABLE myha_drill_ticks (
  id BIGINT NOT NULL AUTO_INCREMENT,
  event VARCHAR(8) NOT NULL,
  origin BIGINT NOT NULL,
  at DOUBLE NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;
DROP EVENT IF EXISTS myha_drill_ticks;
CREATE EVENT myha_drill_ticks ON SCHEDULE EVERY 1 SECOND DO
  INSERT INTO myha_drill_ticks (event, origin, at)
  VALUES ('ticks', @@server_id, UNIX_TIMESTAMP(NOW(6)));

-- name: drill_make_rests
-- By a new name each time: what the supervisor has noted of the last one says nothing of this one.
CREATE EVENT {event} ON SCHEDULE EVERY 1 SECOND DISABLE DO
  INSERT INTO myha_drill_ticks (event, origin, at)
  VALUES ('rests', @@server_id, UNIX_TIMESTAMP(NOW(6)));

-- name: drill_rests
SELECT EVENT_NAME FROM information_schema.EVENTS
WHERE EVENT_SCHEMA = DATABASE() AND EVENT_NAME LIKE 'myha\_drill\_rests\_%';

-- name: drill_drop_rests
DROP EVENT IF EXISTS {event};

-- name: drill_end_ticks
DROP EVENT IF EXISTS myha_drill_ticks;

-- name: drill_ticks
SELECT event, origin, at FROM myha_drill_ticks ORDER BY at, id;

-- name: drill_database
CREATE DATABASE IF NOT EXISTS {database};

-- name: drill_origin
SET @origin = @@server_id;

-- name: drill_begin
--- All that a client's session needs, at once.
SET @origin = @@server_id, autocommit = 0;

-- name: drill_insert
INSERT INTO myha_drill (client, number, payload, origin)
VALUES (%(client)s, %(number)s, '%(payload)s', @origin);

-- name: drill_insert_id
INSERT INTO myha_drill_ids (client, number, origin) VALUES (%(client)s, %(number)s, @origin);

-- name: drill_last
--- What a client reads through the writer pool, and which server it read it on.
SELECT COALESCE(MAX(number), 0), @origin FROM myha_drill WHERE client = %(client)s;

-- name: drill_rows
SELECT client, number, payload, origin FROM myha_drill ORDER BY client, number;

-- name: drill_id_rows
SELECT id, client, number, origin FROM myha_drill_ids ORDER BY id;

-- name: drill_sums
-- With a sum of what the rows say: two writers that each lack as many of the other's have equal counts.
SELECT (SELECT COUNT(*) FROM myha_drill),
       (SELECT BIT_XOR(CRC32(CONCAT_WS(',', client, number, payload, origin))) FROM myha_drill),
       (SELECT COUNT(*) FROM myha_drill_ids),
       (SELECT BIT_XOR(CRC32(CONCAT_WS(',', id, client, number, origin))) FROM myha_drill_ids);

-- An administrator writes on a node that has been replaced, as people do who do not know that. It is
-- cut off from its peer first, and waits for nobody.

-- name: drill_cut_off
STOP REPLICA;

-- name: drill_wait_for_nobody
SET GLOBAL rpl_semi_sync_source_enabled = OFF;

-- name: drill_let_administrators_write
-- read_only stays as it is: it keeps clients out, and not administrators.
DO GET_LOCK('myha.lift', 0);
SET GLOBAL super_read_only = OFF;

-- name: drill_let_nobody_write
SET GLOBAL super_read_only = ON;
DO RELEASE_LOCK('myha.lift');

-- name: drill_unlogged
-- Behind replication's back.
SET SESSION sql_log_bin = 0;

-- name: drill_update
UPDATE myha_drill SET payload = '%(payload)s' WHERE client = %(client)s AND number = %(number)s;

-- name: drill_delete
DELETE FROM myha_drill WHERE client = %(client)s AND number = %(number)s;
DELETE FROM myha_drill_ids WHERE client = %(client)s AND number = %(number)s;

-- name: drill_oldest
SELECT client, number, payload, origin FROM myha_drill
WHERE client < %(below)s ORDER BY number, client LIMIT %(limit)s;

-- name: drill_ids_of
SELECT id, client, number, origin FROM myha_drill_ids
WHERE client = %(client)s AND number = %(number)s;

-- name: drill_row_of
SELECT client, number, payload, origin FROM myha_drill
WHERE client = %(client)s AND number = %(number)s;

-- name: drill_touch
-- Changes nothing, and is refused where writes are.
DELETE FROM myha_drill WHERE client = -1;

-- name: drill_errant_table
CREATE TABLE myha_drill_errant (id INT NOT NULL PRIMARY KEY, note VARCHAR(32)) ENGINE = InnoDB;

-- A replica outside the pair, as somebody sets one up for reports: with semi-sync on. It only
-- receives, which is all that an acknowledgement needs.

-- name: drill_position
SELECT @@GLOBAL.gtid_executed;

-- name: drill_stray
INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so';
SET GLOBAL rpl_semi_sync_replica_enabled = ON;
SET GLOBAL gtid_purged = %(position)s;
CHANGE REPLICATION SOURCE TO
    SOURCE_HOST = %(host)s,
    SOURCE_PORT = %(port)s,
    SOURCE_USER = %(user)s,
    SOURCE_PASSWORD = %(password)s,
    SOURCE_AUTO_POSITION = 1,
    SOURCE_CONNECT_RETRY = 1,
    SOURCE_RETRY_COUNT = 86400,
    GET_SOURCE_PUBLIC_KEY = 1;
START REPLICA IO_THREAD;
