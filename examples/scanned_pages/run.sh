#!/usr/bin/env bash
# What is in a pile of scans. Each page of a PDF is an image.
NAME=scanned_pages MAKE=make_scans.py
source "$(dirname "${BASH_SOURCE[0]}")/../use.sh"
"${bin}overstory" run "$inputs/scans.pdf" --label scans --detail high "$@" \
  --ask "What kind of pages are these? Which are blank, which are dark, which are on green paper?"
