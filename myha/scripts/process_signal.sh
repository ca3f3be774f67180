# PID_FILE SIGNAL: sends it to the server, and says its pid.
pid=$(head -n 1 "$1" 2>/dev/null) && [ -d "/proc/$pid" ] ||
  { echo "no such process: it is not running" >&2; exit 1; }
case $(tr '\0' ' ' <"/proc/$pid/cmdline") in
  *mysqld*|*mariadbd*) ;;
  *) echo "not running: process $pid of $1 is another program" >&2; exit 1;;
esac
[ "$pid" != 1 ] ||
  { echo "error: it is process 1 of a container, which no signal from inside can end" >&2; exit 1; }
kill -"$2" "$pid" && echo "$pid"
