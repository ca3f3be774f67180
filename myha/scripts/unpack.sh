# INTO MBSTREAM...: unpacks the backup that comes in.
into=$1
shift
exec "$@" -x -C "$into" >&2
