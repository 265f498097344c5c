# What the examples' run.sh have in common: make the inputs on first use, then run the command.
# Sourced with NAME (the folder) and MAKE (its script) set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin="$here/../.venv/bin/"
[[ -x "${bin}overstory" ]] || bin=""
inputs="$here/../build/examples/$NAME"
if [[ ! -d $inputs ]]; then # made aside and moved: an interrupted first run leaves no half a set
  rm -rf "$inputs.part"
  "${bin}python" "$here/$NAME/$MAKE" "$inputs.part"
  mv "$inputs.part" "$inputs"
fi
