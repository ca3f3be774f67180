# INTO MEMORY MARIABACKUP...: makes a backup fit to start from, for a held script.
into=$1 memory=$2
shift 2
work() { exec "$@" --no-defaults --prepare --use-memory="$memory" --target-dir="$into"; }
