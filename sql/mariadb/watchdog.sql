-- The watchdog inside a MariaDB server, see docs/watchdog.md: it closes the node when nobody holds the
-- lease. {grace} is in seconds, a whole number.
--
-- Named locks, and nobody writes or reads a clock:
--   myha.lease, myha.fuse   held by two sessions of the supervisor, which the server ends when it has
--                           heard nothing from them for their wait_timeout; the fuse's is longer
--   myha.watchdog           held by the watchdog while it runs
--   myha.armed.{grace}      held by the watchdog once it has seen the lease held
--   myha.dismissed          held by a supervisor that ends the watchdog
--
-- Privileges of the supervisor's account, by which it runs: those of control.sql.

-- name: unlogged_session
SET SESSION sql_log_bin = 0;

-- name: lease_session
-- How long this session may be idle; nothing of it may wait long.
SET SESSION wait_timeout = %(idle_seconds)s;

-- name: remove_watchdog
-- The catalogue's entry. One that runs goes on.
DROP EVENT IF EXISTS myha.watchdog;

-- whole: begin_watchdog
-- Runs at once, and until it is dismissed or the node is closed.
CREATE EVENT myha.watchdog ON SCHEDULE AT CURRENT_TIMESTAMP ON COMPLETION PRESERVE
DO main: BEGIN
    DECLARE armed, lost BOOL DEFAULT FALSE;
    DECLARE rounds, tries INT DEFAULT 0;
    DECLARE may_close BOOL DEFAULT FALSE;
    SET SESSION sql_log_bin = 0, lock_wait_timeout = 1, max_statement_time = 0;
    SET may_close = 2 = (
        SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES
        WHERE PRIVILEGE_TYPE IN ('READ_ONLY ADMIN', 'CONNECTION ADMIN')
        AND GRANTEE = CONCAT('\'', REPLACE(CURRENT_USER(), '@', '\'@\''), '\'')
    );
    IF COALESCE(GET_LOCK('myha.watchdog', 0), 0) <> 1 THEN
        LEAVE main;
    END IF;
    watch: LOOP
        IF @@GLOBAL.read_only OR IS_USED_LOCK('myha.dismissed') IS NOT NULL THEN
            LEAVE main;
        END IF;
        IF COALESCE(GET_LOCK('myha.lease', 1), 0) <> 1 THEN
            -- Somebody holds it, and has for this second.
            SET rounds = 0;
            IF may_close AND NOT armed THEN
                SET armed = COALESCE(GET_LOCK('myha.armed.{grace}', 0), 0);
            END IF;
        ELSE
            DO RELEASE_LOCK('myha.lease');
            IF IS_USED_LOCK('myha.dismissed') IS NOT NULL THEN
                LEAVE main;
            ELSEIF NOT armed THEN
                DO SLEEP(0.1);
            ELSE
                -- Have both sessions ended, or is the supervisor silent? The server may come to the
                -- second a moment later; that moment is not measured by a clock, but by work.
                SET tries = 0;
                WHILE tries < 5000 AND IS_USED_LOCK('myha.fuse') IS NOT NULL DO
                    SET tries = tries + 1;
                END WHILE;
                IF tries < 5000 THEN
                    -- Both: this or another supervisor may come back.
                    SET rounds = rounds + 1;
                    DO SLEEP(1);
                    SET lost = rounds >= {grace} AND COALESCE(IS_FREE_LOCK('myha.lease'), 1);
                ELSE
                    -- Silent. The server ends the other session, too, by the kernel's clock, which
                    -- nobody steps. (When this wait times out is of no importance.)
                    WHILE NOT lost AND COALESCE(IS_FREE_LOCK('myha.lease'), 1) DO
                        IF COALESCE(GET_LOCK('myha.fuse', 1), 0) = 1 THEN
                            DO RELEASE_LOCK('myha.fuse');
                            SET lost = COALESCE(IS_FREE_LOCK('myha.lease'), 1);
                        END IF;
                    END WHILE;
                END IF;
            END IF;
            IF lost AND NOT @@GLOBAL.read_only THEN
                LEAVE watch;
            END IF;
            SET lost = FALSE;
        END IF;
    END LOOP;
    -- There is no offline mode: who connects anew is ended in the next round. Read-only waits for
    -- what is under way, and nobody begins a write behind it.
    WHILE NOT @@GLOBAL.read_only DO
        BEGIN
            DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
            FOR client IN (
                SELECT p.ID FROM information_schema.PROCESSLIST p
                WHERE p.USER NOT IN ('system user', 'event_scheduler', 'unauthenticated user')
                AND p.COMMAND NOT IN ('Binlog Dump', 'Daemon')
                AND p.USER <> SUBSTRING_INDEX(CURRENT_USER(), '@', 1)
            ) DO
                KILL CONNECTION client.ID;
            END FOR;
            SET GLOBAL read_only = ON;
        END;
    END WHILE;
    -- Who came in between can only read.
    BEGIN
        DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
        FOR client IN (
            SELECT p.ID FROM information_schema.PROCESSLIST p
            WHERE p.USER NOT IN ('system user', 'event_scheduler', 'unauthenticated user')
            AND p.COMMAND NOT IN ('Binlog Dump', 'Daemon')
            AND p.USER <> SUBSTRING_INDEX(CURRENT_USER(), '@', 1)
        ) DO
            KILL CONNECTION client.ID;
        END FOR;
    END;
END;

-- name: take
SELECT GET_LOCK(%(lock)s, %(wait_seconds)s);

-- name: release
SELECT RELEASE_LOCK(%(lock)s);

-- name: holder
SELECT IS_USED_LOCK(%(lock)s);

-- name: kill_session
KILL CONNECTION %(id)s;
