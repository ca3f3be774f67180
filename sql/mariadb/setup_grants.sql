-- The two accounts that `myha setup` makes, with the privileges they need and no more.
-- What a GRANT here lists is also what setup compares an existing account with.

-- name: make_account
CREATE USER IF NOT EXISTS %(user)s@'%%' IDENTIFIED BY %(password)s;
ALTER USER %(user)s@'%%' IDENTIFIED BY %(password)s REQUIRE {tls};

-- name: require_tls
ALTER USER %(user)s@'%%' REQUIRE {tls};

-- name: grant_supervisor
-- look: replication, sessions, semi-sync
GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR, REPLICATION SLAVE, RELOAD ON *.* TO %(user)s@'%%';
-- heal: see all tables and columns
GRANT REFERENCES ON *.* TO %(user)s@'%%';
-- verify, unattended: read all rows. The binary log (REPLICATION SLAVE) shows every change already.
GRANT SELECT ON *.* TO %(user)s@'%%';
-- act: open and fence, cut sessions, replicate, rewind
GRANT READ_ONLY ADMIN, CONNECTION ADMIN, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, BINLOG ADMIN, BINLOG REPLAY ON *.* TO %(user)s@'%%';
-- act: the application's events follow the writer, and keep their definers
GRANT EVENT, SET USER ON *.* TO %(user)s@'%%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `myha`.* TO %(user)s@'%%';

-- name: grant_replication
GRANT REPLICATION SLAVE ON *.* TO %(user)s@'%%';
