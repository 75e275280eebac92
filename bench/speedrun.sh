#!/usr/bin/env bash
# The speedrun: how many bits a byte of the validation text costs the model that the sample
# trains, and how long it takes from raw text to there, in an empty store.
#
#   bench/speedrun.sh
#   PIPELINE=mine.yaml PROFILE=small bench/speedrun.sh
#
# What compressors make of the same text: bench/ppmd.sh. Debian's jq.
set -euo pipefail
export LC_ALL=C

PIPELINE=${PIPELINE:-pipelines/v16.yaml}
PROFILE=${PROFILE-sample}

case ${1-} in
'') ;;
-h | --help)
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
	exit
	;;
*)
	echo "bench/speedrun.sh takes no arguments; see --help" >&2
	exit 2
	;;
esac

cd "$(dirname "$0")/.."
for c in go jq; do
	command -v "$c" >/dev/null || { echo "bench/speedrun.sh needs $c" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/speedrun.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
go build -o "$work/pipeline" ./cmd/pipeline

"$work/pipeline" run "$PIPELINE" ${PROFILE:+--profile "$PROFILE"} --store "$work/store" --json >"$work/run.json" || {
	echo "bench/speedrun.sh: the run failed" >&2
	exit 1
}
"$work/pipeline" get train.model "$work/model" --store "$work/store" >/dev/null
echo "$(date -u +%F), $PIPELINE${PROFILE:+, profile $PROFILE}, $(git describe --always --dirty 2>/dev/null || echo 'no commit'), $(nproc) CPUs, $("$work/pipeline" doctor --json | jq -r '.[] | select(.subject == "processors").found')"
jq -r '"run      \(.seconds | floor) s; train \(.stages[] | select(.name == "train") | .seconds | floor) s, eval \(.stages[] | select(.name == "eval") | .seconds | floor) s"' "$work/run.json"
jq -r '"network  \(.preset), \(.parameters) parameters, \(.vocab) tokens; \(.tokens) tokens seen in \(.recipe."max-steps") steps, \(.recipe.precision)"' "$work/model/train.json"
jq -r '.metrics | "eval     \(."eval.bits-per-byte") bits per byte (\(."eval.bits-per-byte.low") to \(."eval.bits-per-byte.high")), \(."eval.bits-per-token") bits per token"' "$work/run.json"
