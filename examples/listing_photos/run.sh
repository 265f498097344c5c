#!/usr/bin/env bash
# Which photographs of a listing to retake. Arguments go to overstory run: --json, --report out.html
NAME=listing_photos MAKE=make_listing.py
source "$(dirname "${BASH_SOURCE[0]}")/../use.sh"
"${bin}overstory" run "$inputs" --label listing --detail low "$@" \
  --ask "These are the photos of one listing. Which are too dark to show, and which are bright?"
