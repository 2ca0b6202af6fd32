#!/usr/bin/env bash
# What the interop runner starts: the routes of the simulated network first, then our role.
set -eu
/setup.sh
if [ "$ROLE" = client ]; then
    /wait-for-it.sh sim:57832 -s -t 30
fi
exec python3 -m pywebtransport.interop.runner
