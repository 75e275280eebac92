#!/usr/bin/env bash
# How fast the engine is beside ninja, Snakemake and DVC: one trivial step for each of N
# small files, two files out of each step. Rounds are interleaved, so that whatever else
# the machine does falls on all alike; the figures are medians.
#
#   bench/engine.sh            N=10000, 5 rounds
#   N=1000 ROUNDS=9 bench/engine.sh
#
# ninja and Snakemake come from Debian (ninja-build, snakemake); DVC is put into a virtual
# environment from PyPI. What is absent is skipped, and said. Snakemake and DVC take so
# long that they are given fewer steps: SNAKE_N and DVC_N.
set -euo pipefail
export LC_ALL=C

N=${N:-10000}            # steps
ROUNDS=${ROUNDS:-5}
JOBS=${JOBS:-2}
BUILDS=${BUILDS:-3}      # of those rounds, how many build everything
BIG=${BIG:-100000}       # parts of the large plan; 0 leaves it out
SNAKE_N=${SNAKE_N:-1000}
DVC_N=${DVC_N:-200}

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/engine-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
# Copied, as an installed program is: of a file that was just linked Linux maps pieces of
# 2 MiB at a touch, which counts some 15 MiB more as resident.
(cd "$root" && go build -o "$work/linked" ./cmd/pipeline) && cp linked pipeline && rm linked

have() { command -v "$1" >/dev/null; }
[ -x /usr/bin/time ] || { echo "bench/engine.sh needs GNU time (apt-get install time)" >&2; exit 1; }

# inputs DIR N: N small text files.
inputs() {
	mkdir -p "$1"
	awk -v d="$1" -v n="$2" 'BEGIN { for (i = 0; i < n; i++) { f = sprintf("%s/%06d.txt", d, i); printf "Documento %d.\n", i > f; close(f) } }'
}

# yaml NAME DIR: a pipeline of one part for each file of DIR.
yaml() {
	printf 'pipeline: %s\nsources:\n  texts: {path: %s}\nstages:\n  parse:\n    uses: text-parse\n    from: {files: sources.texts}\n    with: {source: bench}\n' "$1" "$2"
}

# take LABEL COMMAND…: wall seconds, CPU seconds and peak RSS in MiB go to results.
take() {
	local label=$1
	shift
	if ! /usr/bin/time -o t -f '%e %U %S %M' "$@" >out.log 2>&1; then
		echo "$label failed:" >&2
		tail -5 out.log >&2
		exit 1
	fi
	awk -v l="$label" '{ printf "%s\t%.3f\t%.3f\t%.1f\n", l, $1, $2 + $3, $4 / 1024 }' t >>results
}

inputs in "$N"
yaml small in >small.yaml

if have ninja; then
	mkdir -p ninja
	awk -v n="$N" 'BEGIN { print "rule two\n  command = cp $in $docs && cp $in $report"
		for (i = 0; i < n; i++) printf "build out/%06d.docs out/%06d.report: two ../in/%06d.txt\n  docs = out/%06d.docs\n  report = out/%06d.report\n", i, i, i, i, i }' >ninja/build.ninja
else
	echo "ninja: not found, left out (apt-get install ninja-build)"
fi

if have snakemake; then
	mkdir -p snake
	inputs snake/in "$SNAKE_N"
	cat >snake/Snakefile <<EOF
NAMES = ["%06d" % i for i in range($SNAKE_N)]
rule all:
    input: expand("out/{n}.docs", n=NAMES), expand("out/{n}.report", n=NAMES)
rule two:
    input: "in/{n}.txt"
    output: docs="out/{n}.docs", report="out/{n}.report"
    shell: "cp {input} {output.docs} && cp {input} {output.report}"
EOF
else
	echo "Snakemake: not found, left out (apt-get install snakemake)"
fi

dvc=
if have python3 && python3 -m venv dvc-env >/dev/null 2>&1 && dvc-env/bin/pip install -q dvc >pip.log 2>&1; then
	dvc=$work/dvc-env/bin/dvc
	mkdir -p dvc
	inputs dvc/in "$DVC_N"
	(cd dvc && "$dvc" init -q --no-scm && mkdir out && {
		echo stages:
		for ((i = 0; i < DVC_N; i++)); do
			f=$(printf %06d "$i")
			printf '  s%s:\n    cmd: cp in/%s.txt out/%s.docs && cp in/%s.txt out/%s.report\n    deps: [in/%s.txt]\n    outs: [out/%s.docs, out/%s.report]\n' "$f" "$f" "$f" "$f" "$f" "$f" "$f" "$f"
		done
	} >dvc.yaml)
else
	echo "DVC: cannot be installed from PyPI, left out"
fi

sleep 3 # digests of files that are younger than two seconds are not remembered
for ((r = 0; r < BUILDS; r++)); do
	rm -rf .pipeline
	take "pipeline: build $N" ./pipeline run small.yaml -j "$JOBS"
	if [ -d ninja ]; then
		rm -rf ninja/out ninja/.ninja_*
		take "ninja: build $N" ninja -C ninja -j "$JOBS"
	fi
done
if [ -d snake ]; then
	take "Snakemake: build $SNAKE_N" snakemake -d snake -s snake/Snakefile -j "$JOBS" -q all
fi
if [ -n "$dvc" ]; then
	take "DVC: build $DVC_N" bash -c "cd dvc && '$dvc' repro -q"
fi

./pipeline run small.yaml -j "$JOBS" >out.log 2>&1 # the first run after a build remembers the list of sources
for ((r = 0; r < ROUNDS; r++)); do
	take "pipeline: no-op $N" ./pipeline run small.yaml -j "$JOBS"
	[ ! -d ninja ] || take "ninja: no-op $N" ninja -C ninja -j "$JOBS"
	take "pipeline: plan $N" ./pipeline plan small.yaml
	take "pipeline: explain" ./pipeline explain small.yaml parse
	[ ! -d snake ] || take "Snakemake: no-op $SNAKE_N" snakemake -d snake -s snake/Snakefile -j "$JOBS" -q all
	[ -z "$dvc" ] || take "DVC: no-op $DVC_N" bash -c "cd dvc && '$dvc' repro -q"
done

# One file of N changed: the way part by part.
echo "Outro documento." >in/000000.txt
sleep 3
for ((r = 0; r < ROUNDS; r++)); do take "pipeline: plan $N, one changed" ./pipeline plan small.yaml; done

if [ "$BIG" -gt 0 ]; then
	# Nothing is built: every part is looked up and none is found. A second store holds
	# the digests of the sources, as after a first run that was interrupted.
	inputs big "$BIG"
	yaml big big >big.yaml
	sleep 3
	timeout -s INT 60 ./pipeline run big.yaml -j "$JOBS" --store big-store >out.log 2>&1 || true
	for ((r = 0; r < ROUNDS; r++)); do take "pipeline: plan $BIG" ./pipeline plan big.yaml --store big-store; done
fi

echo
echo "$(date -u +%F), $(nproc) processors ($(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)), $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg)"
echo "pipeline $(git -C "$root" describe --always --dirty 2>/dev/null || true)$(have ninja && echo ", ninja $(ninja --version)")$(have snakemake && echo ", Snakemake $(snakemake --version)")$([ -n "$dvc" ] && echo ", DVC $("$dvc" --version)")"
echo
printf '%-34s %3s %9s %9s %9s\n' what n 'wall s' 'CPU s' 'RSS MiB'
awk -F'\t' '
	function median(s, n,   a, i, j, x) {
		split(s, a, " ")
		for (i = 2; i <= n; i++) { x = a[i] + 0; for (j = i - 1; j > 0 && a[j] + 0 > x; j--) a[j + 1] = a[j]; a[j + 1] = x }
		return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
	}
	!($1 in c) { order[++k] = $1 }
	{ c[$1]++; w[$1] = w[$1] " " $2; u[$1] = u[$1] " " $3; m[$1] = m[$1] " " $4 }
	END { for (i = 1; i <= k; i++) { l = order[i]; printf "%-34s %3d %9.3f %9.3f %9.1f\n", l, c[l], median(w[l], c[l]), median(u[l], c[l]), median(m[l], c[l]) } }' results
