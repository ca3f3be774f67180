-- What a drill writes: its two tables, and the statements of its clients' small transactions.
-- `origin` is the server that took the write, asked once for each session and replicated as a value:
-- it tells afterwards on which node every row was written.

-- name: drill_tables
DROP TABLE IF EXISTS myha_drill;
DROP TABLE IF EXISTS myha_drill_ids;
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

-- name: drill_database
CREATE DATABASE IF NOT EXISTS {database};

-- name: drill_origin
SET @origin = @@server_id;

-- name: drill_insert
INSERT INTO myha_drill (client, number, payload, origin)
VALUES (%(client)s, %(number)s, '%(payload)s', @origin);

-- name: drill_insert_id
INSERT INTO myha_drill_ids (client, number, origin) VALUES (%(client)s, %(number)s, @origin);

-- name: drill_rows
SELECT client, number, payload, origin FROM myha_drill ORDER BY client, number;

-- name: drill_id_rows
SELECT id, client, number, origin FROM myha_drill_ids ORDER BY id;

-- name: drill_counts
SELECT (SELECT COUNT(*) FROM myha_drill), (SELECT COUNT(*) FROM myha_drill_ids);
