# What is filled in here defines the function `work`. It becomes one process, with the parameters,
# and is ended when nothing has come through standard input for a while. Descriptor 3 is ours.
exec 3<&0 </dev/null
{script}
work "$@" 3<&- &
job=$!
( while [ "$(timeout {silence_seconds} dd bs=1 count=1 2>/dev/null <&3)" ]; do :; done
  kill "$job"; sleep 5; kill -9 "$job" ) >/dev/null 2>&1 &
watch=$!
wait "$job"
status=$?
kill "$watch"
exit "$status"
