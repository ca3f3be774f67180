-- What `myha release` changes on a MariaDB server beside what `setup.sql` names. How it boots is in
-- the option file fragment.

-- name: stop_acknowledging
-- A receiver that is connected asked for it when it connected; with nobody waiting that is nothing.
SET GLOBAL rpl_semi_sync_slave_enabled = OFF;

-- name: drop_schema
-- Into the binary log: a row of the heartbeat that is on its way arrives before this.
DROP DATABASE IF EXISTS myha;

-- name: drop_account
DROP USER IF EXISTS %(user)s@'%%';
