#!/usr/bin/env bash
# How well compressors foretell the validation text that a model is judged by, once they have
# read the training text: 8 × (bytes of train+validation compressed, less bytes of train
# compressed) / bytes of validation. It is the bits per byte that `eval` says of the model,
# on the same documents, in the same order.
#
#   bench/ppmd.sh                    the sample
#   PIPELINE=mine.yaml PROFILE= bench/ppmd.sh
#
# The pipeline needs a stage `split`, which is made first where it is not. The text is that
# of the documents alone, one after another with nothing between them. Debian's p7zip-full, xz-utils, zstd, jq; what is
# absent is skipped, and said. PPMd may take 1 GiB of memory for each of two processes.
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
	echo "bench/ppmd.sh takes no arguments; see --help" >&2
	exit 2
	;;
esac

cd "$(dirname "$0")/.."
for c in go jq zstd; do
	command -v "$c" >/dev/null || { echo "bench/ppmd.sh needs $c, to make and read the documents" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/ppmd-bench.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

go build -o "$work/pipeline" ./cmd/pipeline
if ! "$work/pipeline" run "$PIPELINE" ${PROFILE:+--profile "$PROFILE"} split >"$work/log" 2>&1; then
	tail -20 "$work/log" >&2
	echo "bench/ppmd.sh: the stage split of $PIPELINE could not be made" >&2
	exit 1
fi
for part in train val; do
	"$work/pipeline" get "split.$part" "$work/$part.docs" 2>/dev/null
	zstd -dcq "$work/$part.docs"/*.jsonl.zst >"$work/$part.jsonl"
	jq -j .text "$work/$part.jsonl" >"$work/$part"
done
cat "$work/train" "$work/val" >"$work/both"
bytes() { stat -c %s "$1"; }

echo "$(date -u +%F), $PIPELINE${PROFILE:+, profile $PROFILE}, $(git describe --always --dirty 2>/dev/null || echo 'no commit')"
echo
printf '%-12s %12s %12s %12s %12s\n' source 'train docs' 'train bytes' 'val docs' 'val bytes'
for part in train val; do
	jq -r --arg part "$part" '[.source, $part, (.text | utf8bytelength)] | @tsv' "$work/$part.jsonl"
done | awk -F'\t' '
	{ s[$1]; d[$1, $2]++; b[$1, $2] += $3; d["all", $2]++; b["all", $2] += $3 }
	function row(x) { printf "%-12s %12d %12d %12d %12d\n", x, d[x, "train"], b[x, "train"], d[x, "val"], b[x, "val"] }
	END { n = 0; for (x in s) a[++n] = x
		for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { x = a[j]; a[j] = a[j - 1]; a[j - 1] = x }
		for (i = 1; i <= n; i++) row(a[i])
		row("all") }'
echo
printf '%-34s %12s %12s %14s\n' compressor train train+val 'bits per byte'

# measure NAME COMMAND: COMMAND compresses the file $1 and prints its bytes.
measure() {
	local a b
	a=$("$2" "$work/train") || { echo "$1 failed" >&2; exit 1; }
	b=$("$2" "$work/both") || { echo "$1 failed" >&2; exit 1; }
	awk -v n="$1" -v a="$a" -v b="$b" -v v="$(bytes "$work/val")" 'BEGIN { printf "%-34s %12d %12d %14.3f\n", n, a, b, 8 * (b - a) / v }'
}
ppmd() { rm -f "$work/x.7z" && 7z a -bd -m0=PPMd:o=16:mem=1g "$work/x.7z" "$1" >/dev/null && bytes "$work/x.7z"; }
lzma() { xz -9e --threads=1 --lzma2=dict=64MiB -c "$1" | wc -c; }
zstandard() { zstd -q --ultra -22 --long=27 --single-thread -c "$1" | wc -c; }

if command -v 7z >/dev/null; then measure '7z PPMd, order 16, 1 GiB' ppmd; else echo '7z: not found, left out (apt-get install p7zip-full)'; fi
if command -v xz >/dev/null; then measure 'xz -9e, dictionary 64 MiB' lzma; else echo 'xz: not found, left out (apt-get install xz-utils)'; fi
measure 'zstd -22 --long=27' zstandard
