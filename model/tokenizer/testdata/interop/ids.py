#!/usr/bin/env python3
"""What the programs that others use make of our files: called by TestInterop, see `make interop`.

    ids.py DIR

DIR/cases.json lists tokenizers: name, kind (json, pair, tiktoken), files, splitter's regular
expression, special tokens, and whether those are found in text. DIR/texts.jsonl has a text a
line. Of each case the ids are written to DIR/NAME.ids: for each text their number and they
themselves, 32 bits little-endian. What AutoTokenizer of transformers makes of the directory
of a case is compared here, on the texts of which cases.json says so.
"""
import array, base64, json, pathlib, sys
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers

root = pathlib.Path(sys.argv[1])
described = json.loads((root / "cases.json").read_text("utf-8"))
texts = [json.loads(line) for line in (root / "texts.jsonl").open(encoding="utf-8")]


def peer(case):
    """Returns a function of a list of texts that gives their lists of ids."""
    files = root / case["name"]
    if case["kind"] == "tiktoken":
        import tiktoken
        ranks = {}
        for line in (files / "tokenizer.tiktoken").read_bytes().splitlines():
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
        encoding = tiktoken.Encoding(case["name"], pat_str=case["regex"], mergeable_ranks=ranks, special_tokens={})
        return lambda some: [encoding.encode_ordinary(t) for t in some]
    if case["kind"] == "pair":
        t = Tokenizer(models.BPE.from_file(str(files / "vocab.json"), str(files / "merges.txt")))
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        t.add_special_tokens(case["specials"])
    else:
        t = Tokenizer.from_file(str(files / "tokenizer.json"))
    t.encode_special_tokens = not case["found"]
    return lambda some: [e.ids for e in t.encode_batch_fast(some, add_special_tokens=False)]


for case in described["cases"]:
    encode = peer(case)
    some = [texts[i] for i in case["texts"]]
    with (root / (case["name"] + ".ids")).open("wb") as out:
        while some:
            n, size = 0, 0
            while n < len(some) and size < 1 << 20:
                size += len(some[n])
                n += 1
            for ids in encode(some[:n]):
                a = array.array("I", [len(ids), *ids])
                if sys.byteorder == "big":
                    a.byteswap()
                a.tofile(out)
            some = some[n:]

print("tokenizers", tokenizers.__version__)
try:
    import transformers
except ImportError:
    sys.exit("transformers is not there: AutoTokenizer was not tried")
print("transformers", transformers.__version__)
for case in described["cases"]:
    if case["kind"] != "json":
        continue
    t = transformers.AutoTokenizer.from_pretrained(str(root / case["name"]))
    encode = peer(case)
    for i in described["auto"]:
        auto = t(texts[i], add_special_tokens=False, split_special_tokens=not case["found"])["input_ids"]
        if auto != encode([texts[i]])[0]:
            sys.exit(f"{case['name']}: AutoTokenizer gives other ids for {texts[i]!r}")
    for role, name in case["roles"].items():
        if getattr(t, role) != name:
            sys.exit(f"{case['name']}: AutoTokenizer has {getattr(t, role)!r} as its {role}, not {name!r}")
