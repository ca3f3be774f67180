# DIRECTORY: says yes when a process that can be seen has it as its working directory.
ls -l /proc/[0-9]*/cwd 2>/dev/null | sed 's/.* -> //' | grep -qxF "$1" && echo yes || :
