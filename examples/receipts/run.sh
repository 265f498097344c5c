#!/usr/bin/env bash
# Receipts to a table: every image is asked separately, and its answer follows a schema.
NAME=receipts MAKE=make_receipts.py
source "$(dirname "${BASH_SOURCE[0]}")/../use.sh"
"${bin}overstory" run "$inputs" --label receipts "$@" \
  --each "What was bought where and when, and for how much in all?" \
  --schema "$(dirname "${BASH_SOURCE[0]}")/receipt.json"
