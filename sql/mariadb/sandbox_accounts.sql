-- The accounts of a sandbox's server, made by the server itself at its first start. Without binlog:
-- both servers make them, and neither may have an errant history. One statement a line (init_file).
-- name: create accounts
SET SESSION sql_log_bin = 0;
CREATE USER 'admin'@%(hosts)s IDENTIFIED BY %(admin_password)s;
CREATE USER 'admin'@'localhost' IDENTIFIED BY %(admin_password)s;
GRANT ALL PRIVILEGES ON *.* TO 'admin'@%(hosts)s WITH GRANT OPTION;
GRANT ALL PRIVILEGES ON *.* TO 'admin'@'localhost' WITH GRANT OPTION;
CREATE USER 'app'@%(hosts)s IDENTIFIED BY %(app_password)s;
GRANT ALL PRIVILEGES ON `app`.* TO 'app'@%(hosts)s;
DROP USER IF EXISTS 'root'@'localhost';
DROP USER IF EXISTS 'root'@'127.0.0.1';
DROP USER IF EXISTS 'root'@'::1';
DROP USER IF EXISTS ''@'localhost';
