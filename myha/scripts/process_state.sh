# PID_FILE [PID]: the pid, what /proc/PID/stat says after the name, and the command line.
pid=${2:-$(head -n 1 "$1" 2>/dev/null)}
case $pid in ''|*[!0-9]*) exit 0;; esac
stat=$(cat "/proc/$pid/stat" 2>/dev/null) || exit 0
echo "$pid ${stat##*) }"
tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || :
