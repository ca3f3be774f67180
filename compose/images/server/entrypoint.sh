#!/bin/sh
# entrypoint.sh [OPTION...]: the server as process 1, its data directory made first if there is none.
# The directory is complete or absent: it is made under another name, accounts included.
set -eu
if command -v mariadbd >/dev/null; then server=mariadbd; else server=mysqld; fi
case ${1:-} in
    "" | -*) set -- "$server" "$@" ;;
    mysqld | mariadbd) ;;
    *) exec "$@" ;;
esac
data=$("$@" --verbose --help 2>/dev/null | sed -n 's/^datadir  *//p')
data=${data%/}
[ -n "$data" ] || exec "$@" --verbose --help  # it says itself which option it does not take
mkdir -p /run/mysqld /var/lib/mysql-files  # the latter is where MySQL may read and write for clients
chown mysql /run/mysqld /var/lib/mysql-files
if [ ! -d "$data/mysql" ]; then
    file=${MYSQL_ROOT_PASSWORD_FILE:-${MARIADB_ROOT_PASSWORD_FILE:?is not set: name the file with the password of root}}
    password=$(cat "$file")
    case $password in
        "" | *[!A-Za-z0-9_.-]*) echo "$file: root's password has to be of A-Z, a-z, 0-9, _, . and -" >&2; exit 2 ;;
    esac
    rmdir "$data" 2>/dev/null || [ ! -e "$data" ] || {
        echo "datadir $data is a mount point or not empty: set datadir to a new folder below it" >&2
        exit 2
    }
    new="$data.new"  # not a hidden folder: InnoDB does not look into one
    rm -rf "$new"
    mkdir -p "$new" && chown mysql "$new"
    accounts="ALTER USER root@localhost IDENTIFIED BY '$password';
CREATE USER root@'%' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    echo "making a data directory in $data"
    if [ "$server" = mariadbd ]; then
        mariadb-install-db --user=mysql --datadir="$new" --auth-root-authentication-method=normal \
            --skip-test-db --skip-name-resolve >/dev/null
        printf 'FLUSH PRIVILEGES;\n%s\n' "$accounts" \
            | "$@" --datadir="$new" --bootstrap --skip-log-bin --log-warnings=0
    else
        "$@" --datadir="$new" --initialize-insecure
        # Only a server that runs makes accounts: one that nobody can reach, and that ends at once.
        (umask 077 && printf '%s\nSHUTDOWN;\n' "$accounts" >/run/mysqld/accounts.sql)
        chown mysql /run/mysqld/accounts.sql
        "$@" --datadir="$new" --skip-networking --skip-log-bin --init-file=/run/mysqld/accounts.sql
        rm -f /run/mysqld/accounts.sql "$new/auto.cnf"
    fi
    mv "$new" "$data"
fi
unset password accounts
exec "$@"
