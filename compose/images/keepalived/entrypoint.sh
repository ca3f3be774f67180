#!/bin/bash
# entrypoint.sh FILE: keepalived as process 1, with the keepalived.conf that `myha balancer render` wrote.
set -eu
file=${1:?names no keepalived.conf}
interface=$(sed -n 's/^ *interface //p' "$file")
own=$(sed -n 's/^ *unicast_src_ip //p' "$file")
shared=$(sed -n '/virtual_ipaddress {/{n;s/^ *//p}' "$file")
addresses=$(ip -4 -o addr show dev "$interface")
if [[ $addresses != *" $own/"* ]]; then
    echo "$interface does not have $own here: interface in myha.toml has to be the one of that network" >&2
    exit 1
fi
# One that was killed leaves the address in this network, which outlives it; another host may have it now.
if [[ $addresses == *" $shared "* ]]; then ip addr del "$shared" dev "$interface"; fi
exec keepalived --dont-fork --vrrp --log-console --use-file="$file" \
    --pid=/run/keepalived.pid --vrrp_pid=/run/vrrp.pid
