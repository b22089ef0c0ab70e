#!/usr/bin/env python3
"""EleutherAI's lm-eval, unmodified, against `bitcpm serve`: make test-lm-eval.

The task is texts.jsonl, and ten texts of WikiText-2 if BITCPM_WIKITEXT2 names them, through
local-completions: token ids sent, the prompt echoed with log-probabilities. Every text's
log-likelihood must equal what `bitcpm eval ppl` computes, to 1e-4 nats.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import harness  # noqa: E402  (after the path to it)

PYTHON = ROOT / "build/lm_eval/venv/bin/python"
TOLERANCE = 1e-4
MAX_LENGTH = 2048

TASK = """
task: bitcpm_texts
dataset_path: json
dataset_kwargs:
  data_files:
    test: {path}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
"""


def texts():
    lines = (HERE / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line)["text"] for line in lines]
    if path := os.environ.get("BITCPM_WIKITEXT2"):
        records = (json.loads(line)["text"].strip() for line in open(path, encoding="utf-8"))
        found += [text for text in records if len(text) > 50][:10]
    return found


def tokenizer(folder):
    """tokenizer.json as it stands: LlamaTokenizer of transformers 5 makes another one of it, and
    does not know the model's class."""
    target = folder / "tokenizer"
    target.mkdir()
    shutil.copy(harness.TINY_MODEL / "tokenizer.json", target)
    config = json.loads((harness.TINY_MODEL / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (target / "tokenizer_config.json").write_text(json.dumps(config))
    return target


def lm_eval(folder, port):
    """The log-likelihood of every text, in order."""
    (folder / "bitcpm_texts.yaml").write_text(TASK.format(path=folder / "texts.jsonl"))
    arguments = ",".join((
        "model=bitcpm-tiny", f"base_url=http://127.0.0.1:{port}/v1/completions",
        "tokenizer_backend=huggingface", f"tokenizer={tokenizer(folder)}",
        f"max_length={MAX_LENGTH}", "num_concurrent=2", "max_retries=1"))
    done = subprocess.run(
        [PYTHON, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", arguments,
         "--tasks", "bitcpm_texts", "--include_path", folder, "--output_path", folder / "out",
         "--log_samples"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
             "HF_HOME": str(folder / "hf"), "OPENAI_API_KEY": "none"},
        capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        sys.exit(f"lm-eval failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    print(done.stdout[done.stdout.find("|"):])
    samples, = folder.glob("out/**/samples_bitcpm_texts_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: row["doc_id"])
    return [float(row["filtered_resps"][0]) for row in rows]


def ours(folder, numerics):
    done = harness.run("eval", "ppl", "--text", folder / "texts.jsonl", "--texts", 0,
                       "--min-characters", 0, "--max-length", MAX_LENGTH, "--numerics", numerics,
                       "--json")
    assert done.returncode == 0, done.stderr
    return [-loss["loss"] for loss in json.loads(done.stdout)["losses"]]


def main():
    for numerics in ("fast", "exact"):
        with tempfile.TemporaryDirectory() as name, harness.serve("--numerics", numerics) as server:
            folder = pathlib.Path(name)
            lines = (json.dumps({"text": text}, ensure_ascii=False) for text in texts())
            (folder / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
            theirs, here = lm_eval(folder, server.port), ours(folder, numerics)
        assert len(theirs) == len(here) > 0, (len(theirs), len(here))
        worst = max(abs(a - b) for a, b in zip(theirs, here))
        print(f"{numerics}: {len(here)} texts, log-likelihoods differ by {worst:.1e} nats at most")
        if worst > TOLERANCE:
            sys.exit(f"more than {TOLERANCE}: {list(zip(theirs, here))}")


if __name__ == "__main__":
    main()
