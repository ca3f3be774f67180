# Functions: remove PATH, move FROM TO.
# A program that has just lost whoever began it may still be writing there.
remove() {
  rm -rf "$1" 2>/dev/null || { sleep 1; rm -rf "$1"; }
}

move() {
  [ ! -e "$2" ] || { echo "cannot move $1: $2 is there already" >&2; exit 1; }
  mv "$1" "$2"
}
