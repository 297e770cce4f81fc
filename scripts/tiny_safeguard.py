#!/usr/bin/env python3
"""Build a tiny gpt-oss-safeguard: the real architecture, vocabulary and template form, random weights.

    python scripts/tiny_safeguard.py VOCABULARY FOLDER [--gguf FILE] [--mxfp4] [--babble]

VOCABULARY is o200k_base.tiktoken, FOLDER gets a checkpoint that Transformers and vLLM load (about 55 MB of weights,
nearly all of it the embedding and the output of 201,088 tokens), FILE the same weights for llama.cpp. It serves to run
every loader and server where 13 GB can't be had; its answers are noise.

Needs torch, transformers >= 5, safetensors, tokenizers and, for `--gguf`, gguf.

What is as in gpt-oss: `GptOssForCausalLM`, layers in turn with a sliding window of 128 and full attention, sinks,
biases, clamped SwiGLU experts behind a router, YaRN from 4,096 to 131,072 positions, head size 64, untied output,
stop tokens, and with `--mxfp4` experts in blocks of 4 bits. What is not: widths, four layers, four experts.

The weights are random, and the output is made so that Harmony's frame is likely, as in the real model: after
`<|start|>assistant` comes a channel, after its name `<|message|>`, then noise until a token ends it. So answers have
channels to take apart; what they say is noise. `--babble` leaves that out.

Sources: the tokenizer's pattern is o200k_base's in tiktoken (MIT), the names of the special tokens are those of
gpt-oss (Apache-2.0), the GGUF names and layout are those of llama.cpp's converter (MIT). The template is written
anew: what it renders for a chat without tools is what gpt-oss's renders.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

VOCABULARY_SIZE = 201_088
HIDDEN, HEADS, KV_HEADS, HEAD_SIZE = 64, 2, 1, 64
LAYERS, EXPERTS, ACTIVE_EXPERTS = 4, 4, 2
SEED = 20

# With these ids o200k_harmony extends o200k_base; 199,998 and up, every other id is reserved.
START_OF_TEXT, END_OF_TEXT, RETURN, CHANNEL, START, END, MESSAGE, CALL = (
    199_998, 199_999, 200_002, 200_005, 200_006, 200_007, 200_008, 200_012,
)  # fmt: skip
NAMED = {
    START_OF_TEXT: "<|startoftext|>",
    END_OF_TEXT: "<|endoftext|>",
    RETURN: "<|return|>",
    200_003: "<|constrain|>",
    CHANNEL: "<|channel|>",
    START: "<|start|>",
    END: "<|end|>",
    MESSAGE: "<|message|>",
    CALL: "<|call|>",
    200_018: "<|endofprompt|>",
}
SPECIAL = {i: NAMED.get(i, f"<|reserved_{i}|>") for i in range(START_OF_TEXT, 200_019)}

PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)

TEMPLATE = """\
{#- A chat without tools as gpt-oss's template renders it: a first system or developer message becomes the
    developer's instructions; effort and date go into a system message of the template's own. -#}
{%- set identity = model_identity | default("You are ChatGPT, a large language model trained by OpenAI.") -%}
{{- "<|start|>system<|message|>" + identity + "\\n" -}}
{{- "Knowledge cutoff: 2024-06\\nCurrent date: " + strftime_now("%Y-%m-%d") + "\\n\\n" -}}
{{- "Reasoning: " + (reasoning_effort | default("medium")) + "\\n\\n" -}}
{{- "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>" -}}
{%- if messages[0].role in ("developer", "system") -%}
    {%- set turns = messages[1:] -%}
    {{- "<|start|>developer<|message|># Instructions\\n\\n" + messages[0].content + "\\n\\n<|end|>" -}}
{%- else -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if message.role == "assistant" -%}
        {%- if "<|channel|>" in message.content -%}
            {{- raise_exception("give an answer without its channels") -}}
        {%- endif -%}
        {{- "<|start|>assistant<|channel|>final<|message|>" + message.content -}}
        {{- "<|return|>" if loop.last and not add_generation_prompt else "<|end|>" -}}
    {%- elif message.role == "user" -%}
        {{- "<|start|>user<|message|>" + message.content + "<|end|>" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- "<|start|>assistant" -}}
{%- endif -%}
"""


def main() -> None:
    """Read the arguments, build, and say what was written."""
    parser = argparse.ArgumentParser(description="Build a tiny gpt-oss-safeguard with random weights.")
    parser.add_argument("vocabulary", type=Path, help="o200k_base.tiktoken")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gguf", type=Path, help="write the same weights for llama.cpp")
    parser.add_argument("--mxfp4", action="store_true", help="experts in blocks of 4 bits, as the real ones")
    parser.add_argument("--babble", action="store_true", help="do not favour Harmony's frame")
    arguments = parser.parse_args()
    build(arguments.vocabulary, arguments.folder, mxfp4=arguments.mxfp4, babble=arguments.babble)
    if arguments.gguf:
        write_gguf(arguments.folder, arguments.gguf)
    for path in sorted([*arguments.folder.iterdir(), *([arguments.gguf] if arguments.gguf else [])]):
        print(f"{path.stat().st_size / 1e6:7.1f} MB  {path}")  # noqa: T201


def build(vocabulary: Path, folder: Path, *, mxfp4: bool = False, babble: bool = False) -> None:
    """Write a checkpoint for Transformers and vLLM.

    Args:
        vocabulary: o200k_base.tiktoken.
        folder: where to write; made if it is not there.
        mxfp4: store the experts in blocks of 32 numbers of 4 bits with a common exponent.
        babble: leave the output random throughout.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(read_ranks(vocabulary))
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", tokenizer_config())
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    _write_json(folder / "generation_config.json", generation_config())
    _write_json(folder / "config.json", model_config(mxfp4=mxfp4))
    words = {name: tokenizer.token_to_id(name) for name in ("assistant", "analysis", "final")}
    weights = random_weights({} if babble else harmony_habits(words))
    if mxfp4:
        weights = in_mxfp4(weights)
    from safetensors.torch import save_file

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def model_config(*, mxfp4: bool) -> dict[str, Any]:
    """config.json, with the names of gpt-oss-20b's and small numbers."""
    config: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "eos_token_id": RETURN,
        "experts_per_token": ACTIVE_EXPERTS,
        "head_dim": HEAD_SIZE,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initial_context_length": 4096,
        "initializer_range": 0.02,
        "intermediate_size": HIDDEN,
        "layer_types": [("sliding_attention", "full_attention")[i % 2] for i in range(LAYERS)],
        "max_position_embeddings": 131_072,
        "num_attention_heads": HEADS,
        "num_experts_per_tok": ACTIVE_EXPERTS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "num_local_experts": EXPERTS,
        "output_router_logits": False,
        "pad_token_id": END_OF_TEXT,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "factor": 32.0,
            "original_max_position_embeddings": 4096,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": 150_000,
        "router_aux_loss_coef": 0.9,
        "sliding_window": 128,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": VOCABULARY_SIZE,
    }
    if mxfp4:
        kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
        config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": kept}
    return config


def tokenizer_config() -> dict[str, Any]:
    """tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": NAMED[START_OF_TEXT],
        "eos_token": NAMED[RETURN],
        "pad_token": NAMED[END_OF_TEXT],
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131_072,
    }


def generation_config() -> dict[str, Any]:
    """generation_config.json: what ends an answer, and sampling as it is."""
    return {
        "bos_token_id": START_OF_TEXT,
        "do_sample": True,
        "eos_token_id": [RETURN, END_OF_TEXT, CALL],
        "pad_token_id": END_OF_TEXT,
    }


# -- the tokenizer


def read_ranks(vocabulary: Path) -> dict[bytes, int]:
    """Read a tiktoken file: a token in base 64 and its rank on each line."""
    lines = (line.split() for line in vocabulary.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def make_tokenizer(ranks: dict[bytes, int]) -> Tokenizer:
    """A byte-level BPE that gives the ids that tiktoken gives."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    letters = _byte_letters()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    vocabulary = {spell(token): rank for token, rank in ranks.items()}
    merges = [(spell(left), spell(right)) for left, right in _merges(ranks)]
    # A word that is a token is that token, even where no row of merges leads to it: so does tiktoken.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(SPECIAL[i], normalized=False, special=True) for i in sorted(SPECIAL)])
    return tokenizer


def _merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """All ways to put a token together from two, lowest rank first: BPE by rank as a list of merges."""
    merges: list[tuple[bytes, bytes]] = []
    for token, _ in sorted(ranks.items(), key=lambda item: item[1]):
        pairs = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        known = [pair for pair in pairs if pair[0] in ranks and pair[1] in ranks]
        merges += sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return merges


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


# -- the weights


def harmony_habits(words: dict[str, int]) -> dict[int, tuple[int, ...]]:
    """Which tokens are likely after which."""
    return {
        START: (words["assistant"],),
        words["assistant"]: (CHANNEL,),
        CHANNEL: (words["analysis"], words["final"]),
        words["analysis"]: (MESSAGE,),
        words["final"]: (MESSAGE,),
        END: (START,),
    }


def random_weights(habits: dict[int, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Draw every tensor of `GptOssForCausalLM`, in bfloat16.

    Each layer adds about as much to the stream as rounding can't hide, and not so much that the last token is
    forgotten: the output can then favour what a habit says, and greedy decoding is the same in every engine but for
    near ties.
    """
    import torch

    generator = torch.Generator().manual_seed(SEED)

    def draw(*shape: int, std: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * std

    embedding = draw(VOCABULARY_SIZE, HIDDEN, std=1.0)
    embedding *= HIDDEN**0.5 / embedding.norm(dim=1, keepdim=True)
    output = draw(VOCABULARY_SIZE, HIDDEN, std=0.25)
    _teach(embedding, output, habits)
    output[max(SPECIAL) + 1 :] = 0  # ids without a text are never said
    weights = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": output,
        "model.norm.weight": torch.ones(HIDDEN),
    }
    for layer in range(LAYERS):
        weights |= {f"model.layers.{layer}.{name}": tensor for name, tensor in _layer(draw).items()}
    return {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}


def _layer(draw: Any) -> dict[str, torch.Tensor]:  # Any: torch is not imported when this module is
    wide, narrow, unit = HEADS * HEAD_SIZE, KV_HEADS * HEAD_SIZE, HIDDEN**-0.5
    attention = {
        "q_proj.weight": draw(wide, HIDDEN, std=unit * 1.4),
        "q_proj.bias": draw(wide, std=0.1),
        "k_proj.weight": draw(narrow, HIDDEN, std=unit * 1.4),
        "k_proj.bias": draw(narrow, std=0.1),
        "v_proj.weight": draw(narrow, HIDDEN, std=unit),
        "v_proj.bias": draw(narrow, std=0.1),
        "o_proj.weight": draw(HIDDEN, wide, std=0.06),
        "o_proj.bias": draw(HIDDEN, std=0.02),
        "sinks": draw(HEADS, std=1.0),
    }
    experts = {
        "router.weight": draw(EXPERTS, HIDDEN, std=unit),
        "router.bias": draw(EXPERTS, std=0.1),
        "experts.gate_up_proj": draw(EXPERTS, HIDDEN, 2 * HIDDEN, std=unit),
        "experts.gate_up_proj_bias": draw(EXPERTS, 2 * HIDDEN, std=0.1),
        "experts.down_proj": draw(EXPERTS, HIDDEN, HIDDEN, std=0.03),
        "experts.down_proj_bias": draw(EXPERTS, HIDDEN, std=0.02),
    }
    norms = {name: 1 + draw(HIDDEN, std=0.05) for name in ("input_layernorm.weight", "post_attention_layernorm.weight")}
    return {f"self_attn.{k}": v for k, v in attention.items()} | {f"mlp.{k}": v for k, v in experts.items()} | norms


def _teach(embedding: torch.Tensor, output: torch.Tensor, habits: dict[int, tuple[int, ...]]) -> None:
    """Make what a habit says likely after its token, and an end likely after any token of text."""
    if not habits:
        return
    end = output[END] / output[END].norm()
    # Half of all text leans to <|end|>, half to <|return|>: a token's lean is the side of one direction that it is on.
    lean = embedding[:START_OF_TEXT] @ end
    embedding[:START_OF_TEXT] += 3.0 * lean.sign()[:, None] * end
    output[END], output[RETURN] = output[END] * 0.5 + 3.0 * end, output[RETURN] * 0.5 - 3.0 * end
    for token, followers in habits.items():
        for follower in followers:
            output[follower] += 3.0 * embedding[token] / embedding[token].norm()


FOUR_BIT = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the three lower bits of a number in MXFP4 stand for; the fourth is the sign."""


def in_mxfp4(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Store the experts as gpt-oss stores them: blocks of 32 numbers along the input, two numbers a byte."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith(("gate_up_proj", "down_proj")):
            blocks, scales = _four_bits(tensor.transpose(-1, -2).float())
            stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        else:
            stored[name] = tensor
    return stored


def _four_bits(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks (..., n / 32, 16) and scales (..., n / 32), both of bytes, of numbers (..., n)."""
    import torch

    groups = tensor.reshape(*tensor.shape[:-1], -1, 32)
    largest = groups.abs().amax(-1).clamp(min=2.0**-100)
    exponent = torch.floor(torch.log2(largest)) - 2  # 6 is the largest number, between 2**2 and 2**3
    scaled = groups / torch.exp2(exponent)[..., None]
    code = (scaled.abs()[..., None] - torch.tensor(FOUR_BIT)).abs().argmin(-1)
    code = (code + 8 * (scaled < 0)).to(torch.uint8)
    return code[..., ::2] | (code[..., 1::2] << 4), (exponent + 127).to(torch.uint8)


# -- for llama.cpp


def write_gguf(folder: Path, path: Path) -> None:
    """Write a checkpoint that `build` made as GGUF."""
    import gguf
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.GPT_OSS])
    _describe(writer, config)
    _describe_tokens(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    _add_tensors(writer, load_file(folder / "model.safetensors"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, config: dict[str, Any]) -> None:  # Any: gguf is not imported when this module is
    import gguf

    rope = config["rope_scaling"]
    writer.add_name("tiny gpt-oss-safeguard")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(float(config["rope_theta"]))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)


def _describe_tokens(writer: Any, tokenizer: dict[str, Any]) -> None:
    import gguf

    kind = gguf.TokenType
    tokens = [f"[PAD{i}]" for i in range(VOCABULARY_SIZE)]
    types = [kind.UNUSED] * VOCABULARY_SIZE
    for token, i in tokenizer["model"]["vocab"].items():
        tokens[i], types[i] = token, kind.NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], kind.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-4o")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(START_OF_TEXT)
    writer.add_eos_token_id(RETURN)
    writer.add_pad_token_id(END_OF_TEXT)


_GGUF_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.sinks": "attn_sinks.weight",
    "mlp.router": "ffn_gate_inp",
}
_GGUF_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def _add_tensors(writer: Any, weights: dict[str, torch.Tensor]) -> None:
    """Rename; take gate and up of the experts apart, which gpt-oss interleaves."""
    for name, tensor in weights.items():
        if name in _GGUF_TOP:
            _add(writer, _GGUF_TOP[name], tensor)
            continue
        _, _, layer, part = name.split(".", 3)
        if not part.startswith("mlp.experts."):
            of, _, kind = part.rpartition(".")
            new = _GGUF_NAMES[part] if part in _GGUF_NAMES else f"{_GGUF_NAMES[of]}.{kind}"
            _add(writer, f"blk.{layer}.{new}", tensor)
            continue
        for new, piece in _expert_pieces(part.removeprefix("mlp.experts."), tensor, weights, name):
            _add(writer, f"blk.{layer}.{new}", piece)


def _expert_pieces(part: str, tensor: Any, weights: dict[str, torch.Tensor], name: str) -> list[tuple[str, Any]]:
    projection = "gate_up" if part.startswith("gate_up") else "down"
    if part.endswith("_scales"):
        return []  # written with its blocks
    if part.endswith("_blocks"):
        # (experts, rows, n / 32, 16) and (experts, rows, n / 32): the rows are those of gate and up in turn.
        data, kind = _gguf_blocks(tensor, weights[name.replace("_blocks", "_scales")]), "weight"
    elif part.endswith("_bias"):
        data, kind = tensor, "bias"
    else:
        data, kind = tensor.transpose(-1, -2), "weight"  # (experts, out, in)
    if projection == "down":
        return [(f"ffn_down_exps.{kind}", data)]
    return [(f"ffn_gate_exps.{kind}", data[:, ::2]), (f"ffn_up_exps.{kind}", data[:, 1::2])]


def _gguf_blocks(blocks: torch.Tensor, scales: torch.Tensor) -> Any:
    """GGML's blocks of MXFP4: a byte for the exponent, then 16 bytes; byte i holds the numbers i and i + 16."""
    import torch

    low, high = blocks & 15, blocks >> 4
    codes = torch.stack((low, high), dim=-1).reshape(*blocks.shape[:-1], 32)
    packed = codes[..., :16] | (codes[..., 16:] << 4)
    return torch.cat((scales[..., None], packed), dim=-1).flatten(-2).numpy()


def _add(writer: Any, name: str, tensor: Any) -> None:
    """Large matrices of tokens in bfloat16, 4 bits as they are, the rest in float32: nothing is rounded again."""
    import gguf
    import numpy as np
    import torch

    if not isinstance(tensor, torch.Tensor):
        writer.add_tensor(name, np.ascontiguousarray(tensor), raw_dtype=gguf.GGMLQuantizationType.MXFP4)
    elif name in ("token_embd.weight", "output.weight"):
        writer.add_tensor(name, tensor.contiguous().view(torch.uint8).numpy(), raw_dtype=gguf.GGMLQuantizationType.BF16)
    else:
        writer.add_tensor(name, tensor.float().contiguous().numpy())


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
