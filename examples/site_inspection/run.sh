#!/usr/bin/env bash
# Where an inspected structure rusts: notes in the terms of inspectors, for at most 50 cents.
NAME=site_inspection MAKE=make_site.py
source "$(dirname "${BASH_SOURCE[0]}")/../use.sh"
"${bin}overstory" run "$inputs" --label inspection --detail high --budget 0.50 \
  --prompts "$here/$NAME/prompts" "$@" \
  --ask "On which shots is the concrete stained red or brown by rust? Name section and shot."
