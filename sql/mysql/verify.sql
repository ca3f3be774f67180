-- Comparing the rows of two MySQL servers: only this session's own settings, and locks that last a moment.

-- name: session
-- What a value looks like must not depend on the server's settings. A pause for lag must not end the
-- session, and nothing of ours waits long behind a lock, or lets others wait behind ours.
SET SESSION sql_mode = '', time_zone = '+00:00', wait_timeout = 3600, lock_wait_timeout = 5, innodb_lock_wait_timeout = 1, transaction_isolation = 'REPEATABLE-READ';

-- name: begin
START TRANSACTION;

-- name: end
ROLLBACK;
