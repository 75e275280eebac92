#!/usr/bin/env python3
"""Records what Hugging Face's tokenizers make of the texts here: run it after
`go test ./model/tokenizer -update`, with `pip install tokenizers` (0.23 was used).

It trains on the excerpts with HF's own BpeTrainer and stops unless vocabulary and
merges are those of tokenizer.json, then writes the ids of every text to ids.json,
which TestHuggingFace holds our encoder against.
"""
import json, pathlib, unicodedata
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

here = pathlib.Path(__file__).parent
ours = json.loads((here / "tokenizer.json").read_text("utf-8"))
excerpts = [p.read_bytes().decode() for p in sorted(here.parent.glob("text-*.txt"))]

regex = ours["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
theirs = Tokenizer(models.BPE())
theirs.normalizer = normalizers.NFC()
theirs.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(regex), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
theirs.train_from_iterator(excerpts, trainers.BpeTrainer(
    vocab_size=len(ours["model"]["vocab"]), min_frequency=2, show_progress=False,
    special_tokens=[t["content"] for t in ours["added_tokens"]],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
trained = json.loads(theirs.to_str())["model"]
assert trained["vocab"] == ours["model"]["vocab"], "the vocabularies differ"
assert [" ".join(m) for m in trained["merges"]] == ours["model"]["merges"], "the merges differ"

reader = Tokenizer.from_file(str(here / "tokenizer.json"))
reader.encode_special_tokens = True  # specials in text stay text
recorded = []
for text in excerpts + json.loads((here / "strange.json").read_text("utf-8")):
    ids = reader.encode(text, add_special_tokens=False).ids
    assert reader.decode(ids) == unicodedata.normalize("NFC", text), text
    recorded.append({"text": text if len(text) < 200 else text[:60], "ids": ids})
(here / "ids.json").write_text(json.dumps(recorded, ensure_ascii=True, separators=(",", ":")).replace("},{", "},\n{") + "\n")
print(len(recorded), "texts recorded; trained vocabulary and merges are equal")
