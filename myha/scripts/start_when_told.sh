# WORD...: becomes this command when a line comes; ends when whoever would send it is gone.
read -r _ && exec "$@" </dev/null
