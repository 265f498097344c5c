# Shared by the examples' run.sh: makes the inputs on first use. Source it with NAME (the folder) and
# MAKE (its script) set; it sets bin and inputs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin="$here/../.venv/bin/"
[[ -x "${bin}overstory" ]] || bin=""
inputs="$here/../build/examples/$NAME"
# Without a key the sandbox answers, off a terminal too, and says so.
[[ -n ${OVERSTORY_API_KEY-}${STEPFUN_API_KEY-}${OVERSTORY_BASE_URL-} ]] || export OVERSTORY_SANDBOX=true
if [[ ! -d $inputs ]]; then # make, then move: an interrupted first run leaves no incomplete set
  rm -rf "$inputs.part"
  "${bin}python" "$here/$NAME/$MAKE" "$inputs.part"
  mv "$inputs.part" "$inputs"
fi
