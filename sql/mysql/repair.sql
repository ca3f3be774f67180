-- Making rows of one MySQL server equal to its peer's. Nothing of it is replicated.

-- name: session
-- The values are exact, so strict; the foreign keys hold on the other node, whose rows these are.
SET SESSION sql_log_bin = 0, sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0;

-- name: let_us_write
-- read_only stays on: only accounts that may write under it can. The lock: see control.sql.
DO GET_LOCK('myha.lift', 0);
SET GLOBAL super_read_only = IF(@@GLOBAL.read_only, 0, @@GLOBAL.super_read_only);

-- name: close
-- Not on a node that somebody has opened meanwhile.
SET GLOBAL super_read_only = IF(@@GLOBAL.read_only, 1, @@GLOBAL.super_read_only);

-- name: begin
START TRANSACTION;

-- name: commit
COMMIT;

-- name: roll_back
ROLLBACK;

-- name: remove_rows
DELETE FROM {table} WHERE {rows};

-- name: put_row
INSERT INTO {table} ({columns}) VALUES ({values});
