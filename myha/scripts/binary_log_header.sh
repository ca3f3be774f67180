# FILE: the server id in the first event of a binary log, four bytes in hexadecimal, and its size.
[ -r "$1" ] || exit 0
od -An -tx1 -j9 -N4 "$1"
wc -c <"$1"
