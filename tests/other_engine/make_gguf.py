#!/usr/bin/env python3
"""bitcpm-tiny as a GGUF file for llama.cpp, in f16 and f32, by the `gguf` package.

    make_gguf.py MODEL_DIR OUT.gguf
"""

import json
import pathlib
import struct
import sys

import gguf
import numpy as np

NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def read_tensors(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        bits = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
        yield name, bits.view(np.float32).reshape(entry["shape"])


def interleaved(weights, heads):
    """Rows of q and k in the order of llama.cpp's rope for this family: pairs side by side."""
    rows, cols = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def add_vocabulary(writer, folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = dict(tokenizer["model"]["vocab"])
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    pieces.update(special)
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokens = [f"<unused{i}>" for i in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for piece, index in pieces.items():
        tokens[index] = piece
        is_byte = len(piece) == 6 and piece.startswith("<0x")
        kinds[index] = (gguf.TokenType.UNKNOWN if index == 0 else
                        gguf.TokenType.CONTROL if piece in special else
                        gguf.TokenType.BYTE if is_byte else gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(size)])  # merges are in order of their ids
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)


def main():
    folder, out = map(pathlib.Path, sys.argv[1:])
    config = json.loads((folder / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    writer = gguf.GGUFWriter(out, "minicpm")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_embedding_scale(float(config["scale_emb"]))
    writer.add_residual_scale(config["scale_depth"] / layers ** 0.5)
    writer.add_logit_scale(hidden / config["dim_model_base"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
    writer.add_rope_scaling_orig_ctx_len(config["rope_scaling"]["original_max_position_embeddings"])
    add_vocabulary(writer, folder)
    for kind in ("long", "short"):
        factors = np.array(config["rope_scaling"][f"{kind}_factor"], np.float32)
        writer.add_tensor(f"rope_factors_{kind}.weight", factors)
    for name, values in read_tensors(folder / "model.safetensors"):
        stem = name.removesuffix(".weight").removeprefix("model.")
        if stem.startswith("layers."):
            _, layer, part = stem.split(".", 2)
            if part.endswith("q_proj"):
                values = interleaved(values, heads)
            if part.endswith("k_proj"):
                values = interleaved(values, kv_heads)
            target = f"blk.{layer}.{NAMES[part]}.weight"
        else:
            target = {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight",
                      "lm_head": "output.weight"}[stem]
        kind = np.float32 if values.ndim == 1 else np.float16
        writer.add_tensor(target, np.ascontiguousarray(values.astype(kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
