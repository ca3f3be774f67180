-- The two accounts that `myha setup` makes, with the privileges they need and no more.
-- What a GRANT here lists is also what setup compares an existing account with.

-- name: make_account
CREATE USER IF NOT EXISTS %(user)s@'%%' IDENTIFIED BY %(password)s;
ALTER USER %(user)s@'%%' IDENTIFIED BY %(password)s REQUIRE {tls};

-- name: require_tls
ALTER USER %(user)s@'%%' REQUIRE {tls};

-- name: grant_supervisor
-- look: replication, sessions, semi-sync
GRANT PROCESS, REPLICATION CLIENT, REPLICATION SLAVE, RELOAD ON *.* TO %(user)s@'%%';
-- heal: see all tables and columns
GRANT REFERENCES ON *.* TO %(user)s@'%%';
-- verify, unattended: read all rows. The binary log (REPLICATION SLAVE) shows every change already.
GRANT SELECT ON *.* TO %(user)s@'%%';
-- merge, replay: lock the rows that are compared (SELECT ... FOR UPDATE asks for it)
GRANT LOCK TABLES ON *.* TO %(user)s@'%%';
-- act: open and fence, cut sessions, replicate, rewind
-- (PERSIST_RO_VARIABLES_ADMIN, to put right what the server starts with)
-- (SYSTEM_USER, to cut off sessions of administrators too: a fence that cannot is none)
GRANT SYSTEM_USER, SYSTEM_VARIABLES_ADMIN, PERSIST_RO_VARIABLES_ADMIN, CONNECTION_ADMIN, REPLICATION_SLAVE_ADMIN, REPLICATION_APPLIER, BINLOG_ADMIN, SESSION_VARIABLES_ADMIN ON *.* TO %(user)s@'%%';
-- act: the application's events follow the writer
GRANT EVENT ON *.* TO %(user)s@'%%';
GRANT SELECT ON performance_schema.* TO %(user)s@'%%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `myha`.* TO %(user)s@'%%';

-- Events keep their definers. Of the following blocks the first that the server knows counts.

-- name: grant_supervisor_1
GRANT SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER ON *.* TO %(user)s@'%%';

-- name: grant_supervisor_2
GRANT SET_USER_ID ON *.* TO %(user)s@'%%';

-- name: grant_replication
GRANT REPLICATION SLAVE ON *.* TO %(user)s@'%%';
