"""Checkpoint to CTranslate2: model folders that faster-whisper loads like any other Whisper's."""

import copy
import json
from pathlib import Path

from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs import attention_spec, common_spec, transformer_spec, whisper_spec
from tokenizers import Tokenizer
from torch import Tensor, nn

from tests.demo_model.grammar import LANGUAGES
from tests.demo_model.mel import FFT_SAMPLES, HOP_SAMPLES, MEL_BANDS, SAMPLE_RATE_HZ
from tests.demo_model.network import Attention, DecoderLayer, EncoderLayer, TinyWhisper
from tests.demo_model.tokenizer import model_vocabulary, suppressed_ids, token_ids

_PREPROCESSOR = {
    "chunk_length": 30,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": MEL_BANDS,
    "hop_length": HOP_SAMPLES,
    "n_fft": FFT_SAMPLES,
    "n_samples": 30 * SAMPLE_RATE_HZ,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "WhisperProcessor",
    "return_attention_mask": False,
    "sampling_rate": SAMPLE_RATE_HZ,
}


def export(network: TinyWhisper, tokenizer: Tokenizer, quantization: str, folder: Path) -> None:
    """Write a model folder in float32 or one of CTranslate2's quantizations; the network stays as it is."""
    # The specification shares the network's memory, and optimize() scales float32 arrays in place: without a copy every
    # export after the first quantised one would be wrong.
    specification = _specification(copy.deepcopy(network), tokenizer)
    specification.validate()
    specification.optimize(quantization=None if quantization == "float32" else quantization)
    folder.mkdir(parents=True, exist_ok=True)
    specification.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR, indent=1), encoding="utf-8")


def _specification(network: TinyWhisper, tokenizer: Tokenizer) -> whisper_spec.WhisperSpec:
    shape = network.shape
    specification = whisper_spec.WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    encoder, decoder = specification.encoder, specification.decoder
    _set_convolution(encoder.conv1, network.first_convolution)
    _set_convolution(encoder.conv2, network.second_convolution)
    encoder.position_encodings.encodings = _array(network.encoder_positions)
    _set_norm(encoder.layer_norm, network.encoder_norm)
    for target, encoder_layer in zip(encoder.layer, network.encoder_layers(), strict=True):
        _set_encoder_layer(target, encoder_layer)
    embedding = _array(network.embedding())
    decoder.embeddings.weight = embedding
    decoder.projection.weight = embedding
    decoder.position_encodings.encodings = _array(network.decoder_positions)
    _set_norm(decoder.layer_norm, network.decoder_norm)
    for target, decoder_layer in zip(decoder.layer, network.decoder_layers(), strict=True):
        _set_decoder_layer(target, decoder_layer)
    ids = token_ids(tokenizer)
    specification.config.lang_ids = [ids.languages[language] for language in LANGUAGES]
    # A real Whisper's list has <|endoftext|>, too; without it here, silence may give no text at all.
    specification.config.suppress_ids_begin = tokenizer.encode(" ", add_special_tokens=False).ids
    specification.config.suppress_ids = suppressed_ids(tokenizer)
    last_layer = shape.decoder_layers - 1
    specification.config.alignment_heads = [[last_layer, 0], [last_layer, 1]]  # those that the training guides
    specification.register_vocabulary(model_vocabulary(tokenizer))
    return specification


def _set_encoder_layer(target: transformer_spec.TransformerEncoderLayerSpec, layer: EncoderLayer) -> None:
    _set_self_attention(target.self_attention, layer.self_attention)
    _set_norm(target.self_attention.layer_norm, layer.self_attention_norm)
    _set_feed_forward(target.ffn, layer)


def _set_decoder_layer(target: transformer_spec.TransformerDecoderLayerSpec, layer: DecoderLayer) -> None:
    _set_self_attention(target.self_attention, layer.self_attention)
    _set_norm(target.self_attention.layer_norm, layer.self_attention_norm)
    _set_cross_attention(target.attention, layer.cross_attention)
    _set_norm(target.attention.layer_norm, layer.cross_attention_norm)
    _set_feed_forward(target.ffn, layer)


def _set_self_attention(target: attention_spec.MultiHeadAttentionSpec, attention: Attention) -> None:
    """Query, key and value in one matrix."""
    fuse_linear(target.linear[0], [_linear(attention.query), _linear(attention.key), _linear(attention.value)])
    _set_linear(target.linear[1], attention.output)


def _set_cross_attention(target: attention_spec.MultiHeadAttentionSpec, attention: Attention) -> None:
    """Query by itself, since it comes from elsewhere; key and value in one matrix."""
    fuse_linear(target.linear[0], [_linear(attention.query)])
    fuse_linear(target.linear[1], [_linear(attention.key), _linear(attention.value)])
    _set_linear(target.linear[2], attention.output)


def _set_feed_forward(target: transformer_spec.FeedForwardSpec, layer: EncoderLayer | DecoderLayer) -> None:
    _set_norm(target.layer_norm, layer.feed_forward_norm)
    _set_linear(target.linear_0, layer.expand)
    _set_linear(target.linear_1, layer.contract)


def _linear(layer: nn.Linear) -> common_spec.LinearSpec:
    target = common_spec.LinearSpec()
    _set_linear(target, layer)
    return target


def _set_linear(target: common_spec.LinearSpec, layer: nn.Linear) -> None:
    target.weight = _array(layer.weight)
    if layer.bias is not None:
        target.bias = _array(layer.bias)


def _set_convolution(target: common_spec.Conv1DSpec, layer: nn.Conv1d) -> None:
    target.weight = _array(layer.weight)
    if layer.bias is not None:
        target.bias = _array(layer.bias)


def _set_norm(target: common_spec.LayerNormSpec, layer: nn.LayerNorm) -> None:
    target.gamma = _array(layer.weight)
    target.beta = _array(layer.bias)


def _array(tensor: Tensor) -> object:
    """A float32 array that shares the tensor's memory."""
    return tensor.detach().float().numpy()
