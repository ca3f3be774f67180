# LOGIN_BYTES DATA INTERVAL_MS MARIABACKUP...: a backup as a stream, for a held script.
# The login is in a file of its owner's alone: no password stands on a command line. Its folder's
# name says which process has to remove it, so that the next run finds what that one left.
umask 077
for left in "${TMPDIR:-/tmp}"/myha-backup.*; do
  owner=${left##*/myha-backup.}
  [ -d "/proc/${owner%%.*}" ] || rm -rf "$left"
done
own=$(mktemp -d "${TMPDIR:-/tmp}/myha-backup.$$.XXXXXX") || exit
trap 'rm -rf "$own"' EXIT
trap 'exit 1' HUP INT TERM
dd bs=1 count="$1" <&3 >"$own/login" 2>/dev/null || exit
data=$2 interval=$3
shift 3
work() {
  exec "$@" --defaults-file="$own/login" --backup --stream=mbstream --datadir="$data" \
    --log-copy-interval="$interval" --target-dir="$own"
}
