# DATA NEW OLD, after directories.sh: removes what a run that died has left, and puts OLD back
# where DATA is lost.
set -e
data=$1 new=$2 old=$3
remove "$new"
[ -e "$old" ] || exit 0
if [ -e "$data" ] && { [ ! -d "$data" ] || [ -n "$(ls -A "$data")" ]; }; then
  remove "$old"
else
  [ ! -e "$data" ] || rmdir "$data"
  move "$old" "$data"
fi
