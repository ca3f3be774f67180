# PATH without symbolic links on the way, whether it is there or not.
readlink -f "$1" || printf '%s\n' "$1"
