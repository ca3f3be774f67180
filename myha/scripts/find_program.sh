# NAME...: the path of the first of these programs that is on PATH.
for one; do
  command -v "$one" && exit
done
:
