-- Making rows of one MariaDB server equal to its peer's. Nothing of it is replicated.

-- name: session
-- The values are exact, so strict; the foreign keys hold on the other node, whose rows these are.
SET SESSION sql_log_bin = 0, sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0;

-- name: let_us_write
-- Nothing to open: read_only lets the accounts through that may write under it.

-- name: close
-- Nothing was opened.

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
