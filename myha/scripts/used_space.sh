# DIRECTORY BASE...: lines of du, in KiB: the data directory first, then the logs in it. BASE: of
# binary logs.
# Files vanish meanwhile: what `du` complains of does not count.
cd "$1" || exit
shift
du -sk . 2>/dev/null
du -k ib_logfile* ibtmp* 2>/dev/null
for base; do
  [ "$(readlink -f "$(dirname "$base")")" != "$(pwd -P)" ] || du -k "$base".* 2>/dev/null
done
:
