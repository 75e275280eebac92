#!/usr/bin/env bash
# The tokenizer beside Hugging Face's tokenizers, kitoken and tiktoken: encoding in MB/s and
# training in seconds, in rounds in which all take turns, so that whatever else the machine
# does falls on all; medians. MB are 10^6 bytes of text.
#
#   bench/compare-tokenizers.sh              all of it: some ten minutes after the sample's stages
#   bench/compare-tokenizers.sh --quick      one round, little text
#   bench/compare-tokenizers.sh --json       one JSON document in place of tables
#
# Encoding: all get the same tokenizer.json (tiktoken: tokenizer.tiktoken and the splitter's
# expression) and the same documents, cut from the text after the first line end past each
# 16 KiB. A figure is one pass over them after one that warms; of ours the median of RUNS.
# The peers come from the npm registry: tokenizers is native code, kitoken and tiktoken are
# WebAssembly, which has no threads, so that two threads are two Node workers with a
# tokenizer each. Each takes and gives what its interface does: strings of JavaScript, and
# for tokenizers encodings whose ids are not even asked for while the clock runs. The ids
# are compared; a peer whose ids are others is named, and the exit code is 1.
#
# Training: 32,000 ids on TRAIN_BYTES of text, with as many threads as there are
# processors. Ours is the stage train-tokenizer, from packed documents to files and report,
# beside tokenizers of PyPI on a file of the same text; both have the specials, splitter and
# normal form of the stage. A part of ours may take 256 MiB; the memory told is the most
# that all processes of the run hold together, what they share counted once (Pss), looked
# at ten times a second; of tokenizers it is the process's most. The text is the sample's, over and over; in each copy after the first one word
# in 20, drawn by a generator with a fixed seed, gets the second half of another word for its
# own, so that the distinct words grow as they do in new text (99,000 in 26 MB, 300,000 in
# 100 MB).
#
#   TEXT=file            text to encode and train on (default: the documents that the sample trains
#                        on; what is not made yet, is: `pipeline run --profile sample split tokenizer`)
#   TOKENIZERS="dir …"   directories of tokenizer.json to encode with (default: the sample's, and what
#                        the training gives)
#   ROUNDS=5  RUNS=3  THREADS="1 2"  BYTES=8000000 (of text to encode)  TRAIN_BYTES=100000000 (0: no training)
#   PEERS="tokenizers kitoken tiktoken"
#   NODE_DIR=dir         keeps the npm packages; PYTHON=python3 PY_DIR=dir: the virtual environment
#   RESULTS=file         what is measured is added to what the file has
#   RUN="nice -n -5"     goes before each command that is measured
set -euo pipefail
export LC_ALL=C

stop() {
	echo "bench/compare-tokenizers.sh: $*" >&2
	exit 1
}

json=
for arg; do
	case $arg in
	--json) json=1 ;;
	--quick)
		ROUNDS=${ROUNDS:-1}
		RUNS=${RUNS:-1}
		BYTES=${BYTES:-1000000}
		TRAIN_BYTES=${TRAIN_BYTES:-10000000}
		;;
	-h | --help)
		sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
		exit
		;;
	*) stop "no argument $arg; see --help" ;;
	esac
done
ROUNDS=${ROUNDS:-5}
RUNS=${RUNS:-3}
THREADS=${THREADS:-1 2}
BYTES=${BYTES:-8000000}
TRAIN_BYTES=${TRAIN_BYTES:-100000000}
PEERS=${PEERS-tokenizers kitoken tiktoken}
PYTHON=${PYTHON:-python3}

for c in go jq zstd; do command -v "$c" >/dev/null || stop "needs $c"; done
if ! { command -v node && command -v npm; } >/dev/null; then
	stop "needs node and npm, in which the peers run (Debian: apt-get install nodejs npm)"
fi
read -ra run <<<"${RUN-}"

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tokenizer-bench.XXXXXX")
pid= # of a run in the background
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
(cd "$root" && go build -o "$work/pipeline" ./cmd/pipeline)
results=${RESULTS:-$work/results}
touch "$results"

node_dir=${NODE_DIR:-$work/node}
mkdir -p "$node_dir"
[ -d "$node_dir/node_modules/tokenizers" ] ||
	(cd "$node_dir" && npm install --no-audit --no-fund --prefix . tokenizers@0.23 kitoken@0.10 tiktoken@1.0) >"$work/log" 2>&1 ||
	stop "npm cannot install the peers: $(tail -3 "$work/log")"
py_dir=${PY_DIR:-$work/venv}
if [ "$TRAIN_BYTES" -gt 0 ] && ! [ -x "$py_dir/bin/python" ]; then
	{ "$PYTHON" -m venv "$py_dir" && "$py_dir/bin/pip" install -q 'tokenizers==0.23.*'; } >"$work/log" 2>&1 ||
		echo "tokenizers cannot be installed from PyPI, and is left out of training: $(tail -1 "$work/log")" >&2
fi

cat >"$work/text.mjs" <<'EOF'
// some FILE BYTES: every so manieth document, so many that about BYTES are left.
// grow FILE BYTES: the text over and over, as bench/compare-tokenizers.sh tells.
// pack FILE: a JSON line for each document.
import fs from "node:fs";
const [, , what, file, bytes] = process.argv;
const all = fs.readFileSync(file);

export function documents(all) {
	const cuts = [];
	let from = 0;
	while (all.length - from > 16384) {
		const n = all.indexOf(10, from + 16384);
		if (n < 0) break;
		cuts.push(all.subarray(from, n + 1));
		from = n + 1;
	}
	if (from < all.length) cuts.push(all.subarray(from));
	return cuts;
}

if (what == "some") {
	const every = Math.max(1, Math.round(all.length / bytes));
	documents(all).forEach((d, i) => i % every == 0 && fs.writeSync(1, d));
} else if (what == "pack") {
	documents(all).forEach((d, i) => fs.writeSync(1, JSON.stringify({ id: "d" + i, text: d.toString() }) + "\n"));
} else if (what == "grow") {
	const parts = all.toString().split(/(\p{L}+)/u); // words at odd places
	let seed = 1;
	const draw = (n) => {
		seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
		return Math.floor((seed / 4294967296) * n);
	};
	const half = (word) => word.length >> 1;
	for (let left = +bytes, copy = 0; left > 0; copy++) {
		const out = parts.map((p, i) => {
			if (copy == 0 || i % 2 == 0 || p.length < 4 || draw(20) > 0) return p;
			const other = parts[2 * draw(parts.length >> 1) + 1];
			return p.slice(0, half(p)) + other.slice(half(other));
		});
		let b = Buffer.from(out.join(""));
		if (b.length >= left) b = b.subarray(0, b.lastIndexOf(10, left - 1) + 1), (left = 0);
		fs.writeSync(1, b);
		left -= b.length;
	}
}
EOF

cat >"$work/peer.mjs" <<'EOF'
// peer.mjs PACKAGES PEER THREADS TEXT TOKENIZER: {"speed", "ids"} of one pass.
import fs from "node:fs";
import { createRequire } from "node:module";
import { createHash } from "node:crypto";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const [packages, peer, threads, text, dir] = isMainThread ? process.argv.slice(2) : workerData.args;
const require = createRequire(packages + "/");
const file = (name) => fs.readFileSync(dir + "/" + name);
const all = fs.readFileSync(text);
const docs = [];
for (let from = 0; from < all.length; ) {
	let to = all.length - from > 16384 ? all.indexOf(10, from + 16384) + 1 : 0;
	if (to == 0) to = all.length;
	docs.push(all.toString("utf8", from, to));
	from = to;
}

// load returns a function from documents to a list of ids for each.
async function load() {
	switch (peer) {
		case "kitoken": {
			const t = require("kitoken/node").Kitoken.from_tokenizers(file("tokenizer.json"));
			return (docs) => docs.map((d) => t.encode(d, false));
		}
		case "tiktoken": {
			const { Regex } = JSON.parse(file("tokenizer.json")).pre_tokenizer.pretokenizers[0].pattern;
			const t = new (require("tiktoken").Tiktoken)(file("tokenizer.tiktoken").toString(), {}, Regex);
			return (docs) => docs.map((d) => t.encode_ordinary(d));
		}
	}
	throw new Error("no peer " + peer);
}

function report(seconds, ids) {
	const sum = createHash("sha256");
	for (const x of ids ?? []) sum.update(Buffer.from(Uint32Array.from(x).buffer));
	console.log(JSON.stringify({ speed: all.length / 1e6 / seconds, ids: ids ? sum.digest("hex") : null }));
}

if (!isMainThread) {
	const encode = await load();
	const mine = docs.filter((_, i) => i % workerData.of == workerData.k);
	encode(mine);
	parentPort.on("message", () => {
		encode(mine);
		parentPort.postMessage("done");
	});
	parentPort.postMessage("ready");
} else if (peer == "tokenizers") {
	const t = require("tokenizers").Tokenizer.fromFile(dir + "/tokenizer.json");
	await t.encodeBatch(docs, { addSpecialTokens: false });
	const begun = performance.now();
	const out = await t.encodeBatch(docs, { addSpecialTokens: false });
	report((performance.now() - begun) / 1000, out.map((e) => e.getIds()));
} else if (+threads == 1) {
	const encode = await load();
	encode(docs);
	const begun = performance.now();
	const ids = encode(docs);
	report((performance.now() - begun) / 1000, ids);
} else {
	const workers = [];
	for (let k = 0; k < +threads; k++) workers.push(new Worker(new URL(import.meta.url), { workerData: { args: process.argv.slice(2), k, of: +threads } }));
	const heard = () => Promise.all(workers.map((w) => new Promise((done, fail) => (w.once("message", done), w.once("error", fail)))));
	await heard();
	const begun = performance.now();
	const finished = heard();
	workers.forEach((w) => w.postMessage("go"));
	await finished;
	report((performance.now() - begun) / 1000, null);
	workers.forEach((w) => w.terminate());
}
EOF

cat >"$work/train.py" <<'EOF'
# train.py TEXT OUT: seconds of training and writing, and the most memory in MiB.
import json, resource, sys, time
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

t = Tokenizer(models.BPE())
t.normalizer = normalizers.NFC()
t.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(r" ?[\p{L}\p{M}]+| ?\p{N}{1,2}| ?[^\s\p{L}\p{M}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
t.decoder = decoders.ByteLevel()
begun = time.monotonic()
t.train([sys.argv[1]], trainers.BpeTrainer(vocab_size=32000, min_frequency=2, show_progress=False,
    special_tokens=["[PAD]", "[UNK]", "[BOS]", "[EOS]", "[SEP]"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
t.save(sys.argv[2])
print(json.dumps({"seconds": time.monotonic() - begun, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
EOF

# The text, and the tokenizers to encode it with.
store=${PIPELINE_STORE:-$root/.pipeline}
sample=
[ -n "${TEXT-}" ] && [ -n "${TOKENIZERS-}" ] || sample=1
if [ -n "$sample" ]; then
	"$work/pipeline" run "$root/pipelines/v16.yaml" --profile sample split tokenizer --store "$store" >"$work/log" 2>&1 || stop "the sample's stages fail: $(tail -3 "$work/log")"
	"$work/pipeline" get tokenizer.tokenizer "$work/sample" --store "$store" >/dev/null 2>&1
fi
if [ -z "${TEXT-}" ]; then
	"$work/pipeline" get split.train "$work/docs" --store "$store" >/dev/null 2>&1
	TEXT=$work/text
	zstd -dcq "$work"/docs/*.zst | jq -j '.text + "\n\n"' >"$TEXT"
fi
node "$work/text.mjs" some "$TEXT" "$BYTES" >"$work/some"

# keep WHAT WHO VOCAB THREADS JSON: one measurement.
keep() {
	jq -e . <<<"$5" >/dev/null 2>&1 || stop "$2 gave no figure for $1 of $3 ids on $4 threads: $(tail -3 "$work/log")"
	jq -cn --arg what "$1" --arg who "$2" --argjson vocab "$3" --argjson threads "$4" --argjson figures "$5" \
		'{what: $what, who: $who, vocab: $vocab, threads: $threads} + $figures' >>"$results"
}

if [ "$TRAIN_BYTES" -gt 0 ]; then
	node "$work/text.mjs" grow "$TEXT" "$TRAIN_BYTES" >"$work/grown"
	mkdir "$work/train"
	node "$work/text.mjs" pack "$work/grown" | zstd -q >"$work/train/grown.jsonl.zst"
	cat >"$work/train/train.yaml" <<-EOF
		pipeline: train
		sources:
		  texts: {path: grown.jsonl.zst}
		stages:
		  parse:
		    uses: text-parse
		    from: {files: sources.texts}
		    with: {source: grown, shard-size: 8388608}
		  tokenizer:
		    uses: train-tokenizer
		    from: {docs: parse.docs}
		    with: {vocab-size: 32000}
		    resources: {memory: 256MiB}
	EOF
	"$work/pipeline" run "$work/train/train.yaml" parse --store "$work/parsed" >"$work/log" 2>&1 || stop "the text cannot be parsed: $(tail -3 "$work/log")"
fi

# resident PID: MiB of a process and all below it; what they share counts once.
resident() {
	local pids
	pids=$(ps -e -o pid=,ppid= | awk -v top="$1" '{ parent[$1] = $2 }
		END { for (p in parent) for (q = p; q in parent; q = parent[q]) if (q == top) { print p; break } }')
	for p in $pids; do cat "/proc/$p/smaps_rollup" 2>/dev/null || true; done | awk '/^Pss:/ { sum += $2 } END { print sum / 1024 }'
}

training() {
	local out most=0 now
	rm -rf "$work/store"
	cp -al "$work/parsed" "$work/store"
	"${run[@]}" "$work/pipeline" run "$work/train/train.yaml" --jobs "$(nproc)" --store "$work/store" --json >"$work/out" 2>"$work/log" &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		now=$(resident "$pid")
		most=$(awk -v a="$most" -v b="$now" 'BEGIN { print (a > b ? a : b) }')
		sleep 0.1
	done
	wait "$pid" || stop "training fails: $(tail -3 "$work/log")"
	pid=
	rm -rf "$work/trained"
	"$work/pipeline" get tokenizer.tokenizer "$work/trained" --store "$work/store" >/dev/null 2>&1
	keep training pipeline 32000 "$(nproc)" "$(jq -c --argjson most "$most" '.stages[] | select(.name == "tokenizer") | {seconds, memory: $most}' "$work/out")"
	if [ -x "$py_dir/bin/python" ]; then
		out=$("${run[@]}" "$py_dir/bin/python" "$work/train.py" "$work/grown" "$work/theirs.json" 2>"$work/log") || true
		keep training tokenizers 32000 "$(nproc)" "$out"
	fi
}

# encoding DIR: all in turn, on each number of threads.
encoding() {
	local dir=$1 vocab threads peer out
	for threads in $THREADS; do
		"${run[@]}" "$work/pipeline" benchmark --only tokenizer --text "$work/some" --tokenizer "$dir" --threads "$threads" --runs "$RUNS" --time 300ms --json >"$work/out" 2>"$work/log" ||
			stop "pipeline benchmark failed: $(tail -3 "$work/log")"
		vocab=$(jq '.encodes[0].vocab' "$work/out")
		keep encoding pipeline "$vocab" "$threads" "$(jq -c '.encodes[0] | {speed: .["megabytes-per-second"], ids, bytes, tokens}' "$work/out")"
		for peer in $PEERS; do
			out=$(RAYON_NUM_THREADS=$threads "${run[@]}" node "$work/peer.mjs" "$(cd "$node_dir" && pwd)" "$peer" "$threads" "$work/some" "$dir" 2>"$work/log") || true
			keep encoding "$peer" "$vocab" "$threads" "$out"
		done
	done
}

for ((round = 1; round <= ROUNDS; round++)); do
	[ ! -t 2 ] || echo "round $round of $ROUNDS" >&2
	[ "$TRAIN_BYTES" = 0 ] || training
	dirs=${TOKENIZERS:-$work/sample}
	[ -n "${TOKENIZERS-}" ] || [ "$TRAIN_BYTES" = 0 ] || dirs+=" $work/trained"
	for dir in $dirs; do encoding "$dir"; done
done

versions=$(cd "$node_dir/node_modules" && jq -s 'map({(.name): .version}) | add' tokenizers/package.json kitoken/package.json tiktoken/package.json)
jq -s --arg date "$(date -u +%F)" --arg cpu "$(nproc) processors ($(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo))" \
	--arg memory "$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" --arg system "$(uname -sr)" \
	--arg program "$(git -C "$root" describe --always --dirty 2>/dev/null || echo "no commit"), $(go env GOVERSION), node $(node --version)" \
	--argjson versions "$versions" --argjson trained "$TRAIN_BYTES" '
	def median: sort | if length % 2 == 1 then .[(length - 1) / 2] else (.[length / 2] + .[length / 2 - 1]) / 2 end;
	{date: $date, cpu: $cpu, memory: $memory, system: $system, program: $program, versions: $versions, "training-bytes": $trained,
	 encoding: (map(select(.what == "encoding")) | group_by([.vocab, .threads]) | map(
		(map(select(.who == "pipeline"))) as $ours | ($ours | map(.speed) | median) as $speed | ($ours | map(.ids) | unique) as $ids |
		{vocab: .[0].vocab, threads: .[0].threads, runs: ($ours | length), bytes: $ours[0].bytes, tokens: $ours[0].tokens, "megabytes-per-second": $speed,
		 peers: (map(select(.who != "pipeline")) | group_by(.who) | map((map(.speed) | median) as $theirs |
			{name: .[0].who, runs: length, "megabytes-per-second": $theirs, ratio: ($speed / $theirs), "ids-agree": (map(.ids | select(. != null)) | if length == 0 then null else unique == $ids end)}))})),
	 training: (map(select(.what == "training")) | group_by(.who) | map({name: .[0].who, threads: .[0].threads, runs: length, seconds: (map(.seconds) | median), "resident-mib": (map(.memory) | median)}))}' \
	"$results" >"$work/report.json"

if [ -n "$json" ]; then
	cat "$work/report.json"
else
	jq -r '
	def number: if . >= 100 then round else . * 10 | round / 10 end | tostring;
	def row: "| " + join(" | ") + " |";
	"\(.date), \(.cpu), \(.memory), \(.system); pipeline \(.program); \(.versions | to_entries | map("\(.key) \(.value)") | join(", "))",
	"",
	(([.encoding[].peers[].name] | unique) as $peers |
		(["encoding, MB/s", "threads", "pipeline", ($peers[] | ., "ratio"), "ids", "rounds"] | row),
		(["---", "---:", "---:", ($peers[] | "---:", "---:"), "---", "---:"] | row),
		(.encoding[] | . as $r | ["\(.vocab) ids", (.threads | tostring), (.["megabytes-per-second"] | number),
			($peers[] as $p | [$r.peers[] | select(.name == $p)][0] | if . == null then "–", "–" else (.["megabytes-per-second"] | number), (.ratio | number) end),
			([.peers[] | select(.["ids-agree"] == false).name] | if length == 0 then "the same" else "others: " + join(", ") end), (.runs | tostring)] | row)),
	"",
	(if .training == [] then empty else
		(["training of 32,000 ids on \(.["training-bytes"] / 1e6) MB", "threads", "seconds", "MiB resident", "rounds"] | row),
		(["---", "---:", "---:", "---:", "---:"] | row),
		(.training[] | [.name, (.threads | tostring), (.seconds | number), (.["resident-mib"] | round | tostring), (.runs | tostring)] | row) end)' "$work/report.json"
fi
jq -e '[.encoding[].peers[] | select(.["ids-agree"] == false)] == []' "$work/report.json" >/dev/null || stop "the ids are not the same"
