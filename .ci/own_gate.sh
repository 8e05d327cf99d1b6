#!/usr/bin/env bash
# Gates this checkout's model of a golden ticket against the one that the commit before it writes.
# Noise that leaves the question open is said and stops nothing: the machine is not ours alone.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$1
ticket=tests/golden/ticket-v1-binary-recycled.safetensors
base=${BASE_COMMIT:-HEAD~1}

export_with() { # checkout, target
  PYTHONPATH="$1/.dev" python -m recycle_pipeline.pipeline reconstruct "$ticket" --output "$2"
}

export_with "$PWD" "$work/candidate.onnx"
if git rev-parse --verify --quiet "$base^{commit}" > "$work/base"; then
  mkdir -p "$work/base-tree"
  git archive "$(cat "$work/base")" | tar -x -C "$work/base-tree"
  echo "baseline: the model of $base, $(cut -c1-12 "$work/base")"
  export_with "$work/base-tree" "$work/baseline.onnx"
else
  echo "baseline: none in this history, so the model is compared with itself"
  cp "$work/candidate.onnx" "$work/baseline.onnx"
fi

summary=${GITHUB_STEP_SUMMARY:-$work/gate.md}
code=0
PYTHONPATH="$PWD/.dev" python -m recycle_pipeline.pipeline gate \
  --baseline "$work/baseline.onnx" --candidate "$work/candidate.onnx" \
  --max-slowdown 10% --max-size-increase 1% --time-budget 12 --quiet --markdown "$summary" || code=$?
if [ "$code" -eq 7 ]; then
  echo "inconclusive within 12 s: not judged here"
elif [ "$code" -ne 0 ]; then
  exit "$code"
fi
