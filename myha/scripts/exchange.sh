# DATA NEW OLD, after directories.sh: NEW takes the place of DATA, which becomes OLD.
# The new directory is made its user's, and like the old one in all else.
set -e
data=$1 new=$2 old=$3
like=$data
[ -e "$data" ] || like=$(dirname "$data")
owner=$(stat -c %u:%g "$like")
[ "$owner" = "$(id -u):$(id -g)" ] || chown -hR "$owner" "$new"
if [ -e "$data" ]; then
  chmod "$(stat -c %a "$data")" "$new"
  move "$data" "$old"
fi
move "$new" "$data"
