# PATH: says yes when nothing is there, or a directory with nothing in it.
# What may not be looked into is neither gone nor empty.
said=$(LC_ALL=C ls -A "$1" 2>&1) || case $said in
*"No such file"*) said= ;;
*) echo "$said" >&2; exit 1 ;;
esac
[ -n "$said" ] || echo yes
