#!/bin/bash
# Asks the HAProxy of this host for keepalived, over ports of 127.0.0.1: bash alone, no other program.
#
#   check.sh alive PORT ANSWER_SECONDS ADDRESS   it answers; reports at PORT + 1 if ADDRESS is here
#   check.sh told PORT ANSWER_SECONDS            it was told by myha that its routing is right
#   check.sh preferred PORT ANSWER_SECONDS       myha has just preferred it to another balancer
#
# Exit status 0: yes. `alive` goes on watching for as long as keepalived would wait before it asks
# again, so that the end of the process is known at once.

WATCH_SECONDS=0.8  # keepalived asks once in a second; two must not overlap
FAMILY_TABLE=/proc/net/fib_trie  # every IPv4 address of this host

what=$1 port=$2 answer_seconds=$3 address=$4

# A refused connection ends the script with status 1.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf '%s\n' "$1" >&3
}

is_here() {
    local mark value last=
    while read -r mark value _; do
        if [[ $mark == '|--' ]]; then
            last=$value
        elif [[ $last == "$address" && "$mark $value" == '/32 host' ]]; then
            return 0
        fi
    done <"$FAMILY_TABLE"
    return 1
}

has_entry() {
    local line
    ask "show table $1"
    while read -r -t "$answer_seconds" -u 3 line; do
        [[ $line == '# table: '* ]] && { [[ $line == *used:[1-9]* ]]; return; }
    done
    return 1
}

exec 2>/dev/null
case $what in
    told) has_entry address_told ;;
    preferred) has_entry address_preferred ;;
    alive)
        ask prompt
        read -r -t "$answer_seconds" -d '>' -u 3 || exit 1
        is_here && : >"/dev/tcp/127.0.0.1/$((port + 1))"
        # Nothing more is sent to us: the read ends with the time, or with the connection.
        while :; do
            read -r -t "$WATCH_SECONDS" -u 3
            status=$?
            ((status > 128)) && exit 0
            ((status != 0)) && exit 1
        done
        ;;
    *) exit 2 ;;
esac
