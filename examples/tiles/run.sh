#!/usr/bin/env bash
# Labelled pictures: which setting is good enough, then all of them with it, then how much was right.
NAME=tiles MAKE=make_tiles.py
source "$(dirname "${BASH_SOURCE[0]}")/../use.sh"
question=(--each "Which colour and format has this tile?" --schema "$here/tiles/tile.json")
models=()
[[ -z ${OVERSTORY_SANDBOX-} ]] || models=(--models sandbox-tires)
"${bin}overstory" tune "$inputs" "${question[@]}" --truth "$inputs/truth.csv" \
  --details low "${models[@]}" "$@"
"${bin}overstory" run "$inputs" "${question[@]}" --profile tiles --quiet > /dev/null
"${bin}overstory" check last --truth "$inputs/truth.csv"
