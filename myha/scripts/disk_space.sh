# PATH: df's line on the disk that it is or would be on.
at=$1
while [ ! -e "$at" ]; do at=$(dirname "$at"); done
LC_ALL=C df -Pk "$at" | tail -n 1
