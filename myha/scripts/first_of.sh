# FILE...: what the first of these files has that is there.
for one; do
  [ -e "$one" ] && exec cat "$one"
done
:
