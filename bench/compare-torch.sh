#!/usr/bin/env bash
# Training and generation beside RWKV-4 in PyTorch, on the CPU: tokens a second, in rounds
# in which both take turns, so that whatever else the machine does falls on both; medians.
#
#   TORCH_RWKV=rwkv.py bench/compare-torch.sh              all of it, which takes an hour or so
#   TORCH_RWKV=rwkv.py bench/compare-torch.sh --quick      one round of the small network
#   TORCH_RWKV=rwkv.py bench/compare-torch.sh --json       one JSON document in place of tables
#
# TORCH_RWKV is a Python program of yours; this project has none. It is called as
#
#   rwkv.py --threads N --cfg small|large --dt fp32|bf16 --B SEQUENCES --steps N
#   rwkv.py --threads N --cfg small|large --dt fp32|bf16 --infer
#
# small is a network of width 256, 6 blocks, channel mix 1024, vocabulary 8192, sequences of
# 128 tokens; large has 768, 12, 3072, 32000, 512; bf16 is autocast. One line of its output
# counts, which has TRAIN or INFER in it and then "tok/s median X": the tokens a second of the
# median of N whole training steps (forward, loss, backward, AdamW), or of generation at
# batch 1, a token at a time.
#
# Ours are whole steps too, as `pipeline benchmark` measures them; they also take the norm of
# the gradient. On 2 threads and more a batch that can be cut into a micro-batch for each is
# cut so, as in training.
#
#   TORCH_PYTHON="python3 venv/bin/python"   interpreters, each with a torch to compare with
#   ROUNDS=5  THREADS="1 2"  PRECISIONS="fp32 bf16"
#   CASES="small:8 large:1 large:2"          network:sequences of a step; "" leaves training out
#   GENERATE="small large"                   networks; "" leaves generation out
#   STEPS=2                                  steps of large that a figure is the median of; of small: 4 times so many
#   RESULTS=file                             what is measured is added to what the file has
#   RUN="nice -n -5"                         goes before each command that is measured
#
# Torch's libraries are told the number of threads in OMP_NUM_THREADS, MKL_NUM_THREADS and
# OPENBLAS_NUM_THREADS: OpenBLAS with threads of its own does not heed what torch says, and
# takes all processors where one is asked for.
set -euo pipefail
export LC_ALL=C

stop() {
	echo "bench/compare-torch.sh: $*" >&2
	exit 1
}

json=
for arg; do
	case $arg in
	--json) json=1 ;;
	--quick)
		ROUNDS=${ROUNDS:-1}
		CASES=${CASES-small:8}
		GENERATE=${GENERATE-small}
		;;
	-h | --help)
		sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
		exit
		;;
	*) stop "no argument $arg; see --help" ;;
	esac
done
ROUNDS=${ROUNDS:-5}
THREADS=${THREADS:-1 2}
PRECISIONS=${PRECISIONS:-fp32 bf16}
CASES=${CASES-small:8 large:1 large:2}
GENERATE=${GENERATE-small large}
STEPS=${STEPS:-2}
TORCH_PYTHON=${TORCH_PYTHON:-python3}

[ -n "${TORCH_RWKV-}" ] || stop "TORCH_RWKV must name the program in PyTorch to compare with; see --help for what it must print"
[ -f "$TORCH_RWKV" ] || stop "TORCH_RWKV: there is no file $TORCH_RWKV"
for c in go jq; do command -v "$c" >/dev/null || stop "needs $c"; done
read -ra run <<<"${RUN-}"
pythons=() versions=()
for p in $TORCH_PYTHON; do
	v=$("$p" -c 'import torch; print(torch.__version__)' 2>/dev/null) || stop "TORCH_PYTHON: $p cannot import torch (Debian: apt-get install python3-torch; then TORCH_PYTHON=/usr/bin/python3)"
	pythons+=("$p") versions+=("PyTorch $v")
done

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/torch-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$root" && go build -o "$work/pipeline" ./cmd/pipeline)
results=${RESULTS:-$work/results}
touch "$results"

fp32=$("$work/pipeline" doctor --json | jq -r '.[] | select(.subject == "kernels").found | split(" ")[0] | sub("bf16$"; "")') # of avx512bf16, all but products is avx512

# shape NETWORK: flags of a network.
shape() {
	case $1 in
	small) echo "--n-embd 256 --n-layer 6 --n-ffn 1024 --vocab 8192" ;;
	large) echo "--n-embd 768 --n-layer 12 --n-ffn 3072 --vocab 32000" ;;
	*) stop "there is no network $1: small, large" ;;
	esac
}

# keep WHAT NETWORK BATCH PRECISION THREADS WHO SPEED SHARE: one measurement.
keep() {
	[ -n "$7" ] || stop "$6 gave no figure for $1 of $2 in $4 on $5 threads: $(tail -3 "$work/log")"
	jq -cn --arg what "$1" --arg network "$2" --argjson batch "$3" --arg precision "$4" --argjson threads "$5" --arg who "$6" --argjson speed "$7" --argjson share "${8:-null}" \
		'$ARGS.named' >>"$results"
}

# torch FIGURES FLAGS…: each torch in turn. FIGURES are the first five of keep.
torch() {
	local figures=$1 threads i out
	shift
	threads=${figures##* }
	for i in "${!pythons[@]}"; do
		out=$(OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads \
			"${run[@]}" "${pythons[i]}" "$TORCH_RWKV" --threads "$threads" "$@" 2>"$work/log") || true
		# shellcheck disable=SC2086
		keep $figures "${versions[i]}" "$(sed -nE '/TRAIN|INFER/s/.*tok\/s median ([0-9.]+).*/\1/p' <<<"$out")"
	done
}

# ours FLAGS…: runs `pipeline benchmark`.
ours() {
	"${run[@]}" "$work/pipeline" benchmark --json --time 200ms "$@" >"$work/out" 2>"$work/log" || stop "pipeline benchmark failed: $(tail -3 "$work/log")"
}

training() {
	local network=$1 batch=$2 precision=$3 threads=$4 kernels=$fp32 seq=128 steps=$((4 * STEPS)) accum=1
	[ "$network" = small ] || seq=512 steps=$STEPS
	[ "$precision" = fp32 ] || kernels=avx512bf16
	[ $((batch % threads)) != 0 ] || accum=$threads
	# shellcheck disable=SC2046
	ours --only training $(shape "$network") --threads "$threads" --path "$kernels" --seq-len "$seq" --batch-size $((batch / accum)) --grad-accum "$accum" --runs "$steps"
	# shellcheck disable=SC2046
	keep training "$network" "$batch" "$precision" "$threads" pipeline $(jq -r '.steps[0] | "\(.["tokens-per-second"]) \(.["share-of-peak"])"' "$work/out")
	torch "training $network $batch $precision $threads" --cfg "$network" --dt "$precision" --B "$batch" --steps "$steps"
}

generation() {
	local network=$1 precision=$2 threads=$3
	# shellcheck disable=SC2046
	ours --only generation $(shape "$network") --threads "$threads" --path "$fp32" --weights "$precision" --time 1s
	# shellcheck disable=SC2046
	keep generation "$network" 1 "$precision" "$threads" pipeline $(jq -r '.decodes[0] | "\(.["tokens-per-second"]) \(.["share-of-read"])"' "$work/out")
	torch "generation $network 1 $precision $threads" --cfg "$network" --dt "$precision" --infer
}

for ((round = 1; round <= ROUNDS; round++)); do
	[ ! -t 2 ] || echo "round $round of $ROUNDS" >&2
	for precision in $PRECISIONS; do
		for threads in $THREADS; do
			for c in $CASES; do training "${c%:*}" "${c#*:}" "$precision" "$threads"; done
			for c in $GENERATE; do generation "$c" "$precision" "$threads"; done
		done
	done
done

# The share of the peak that torch reaches follows from ours, the work of a token being the same.
jq -s --arg date "$(date -u +%F)" --arg cpu "$(nproc) processors ($(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo))" \
	--arg memory "$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" --arg system "$(uname -sr)" \
	--arg governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null || echo 'not known')" \
	--arg program "$(git -C "$root" describe --always --dirty 2>/dev/null || echo "no commit"), $(go env GOVERSION)" '
	def median: sort | if length % 2 == 1 then .[(length - 1) / 2] else (.[length / 2] + .[length / 2 - 1]) / 2 end;
	{date: $date, cpu: $cpu, memory: $memory, system: $system, governor: $governor, program: $program,
	 rows: (group_by([.what, .network, .batch, .precision, .threads]) | map(
		(map(select(.who == "pipeline"))) as $ours | ($ours | map(.speed) | median) as $speed | ($ours | map(.share) | median) as $share |
		(.[0] | {what, network, batch, precision, threads}) + {runs: ($ours | length), "tokens-per-second": $speed, share: $share,
		 torch: (map(select(.who != "pipeline")) | group_by(.who) | map({version: .[0].who, runs: length, "tokens-per-second": (map(.speed) | median)}) |
			map(. + {share: ($share * .["tokens-per-second"] / $speed), ratio: ($speed / .["tokens-per-second"])}))})
	 | sort_by([.what == "generation", .network == "large", .batch, .precision == "bf16", .threads]))}' "$results" >"$work/report.json"

if [ -n "$json" ]; then
	cat "$work/report.json"
	exit
fi
jq -r '
	def number: if . >= 100 then round else . * 10 | round / 10 end | tostring;
	def percent: if . == null then "–" else "\(. * 100 | round) %" end;
	def ratio: . * 100 | round / 100 | tostring;
	def row: "| " + join(" | ") + " |";
	(.rows | map(.torch[].version) | unique) as $versions |
	"\(.date), \(.cpu), \(.memory), \(.system), governor \(.governor); pipeline \(.program)",
	(("training", "generation") as $what | .rows | map(select(.what == $what)) | select(length > 0) |
		"",
		(["\($what), tokens/s", "precision", "threads", "pipeline", (if $what == "training" then "of peak" else "of reading" end),
			($versions[] | ., "of it", "ratio"), "runs"] | row),
		(["---", "---", "---:", "---:", "---:", ($versions[] | "---:", "---:", "---:"), "---:"] | row),
		(.[] | . as $r | [.network + (if $what == "training" then ", batch \(.batch)" else "" end), .precision, (.threads | tostring), (.["tokens-per-second"] | number), (.share | percent),
			($versions[] as $v | [$r.torch[] | select(.version == $v)][0] | if . == null then "–", "–", "–" else (.["tokens-per-second"] | number), (.share | percent), (.ratio | ratio) end),
			(.runs | tostring)] | row))' "$work/report.json"
