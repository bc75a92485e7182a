"""The networks of `rust/model/config.rs`, built from the public `sam2` package with pseudo-random weights."""

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf
from reference import fill_pseudo_random
from sam2 import build_sam  # noqa: F401  (importing it tells hydra where the configurations are)
from sam2.modeling import sam2_base
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer

FILES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
# build_sam2's own post-processing.
STABILITY = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}

TOY_MLP, TOY_IOU = 128, 32


#: Changes that make a network a video predictor in which each corrected slice conditions the others.
VIDEO_PREDICTOR = {
    "_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor",
    "add_all_frames_to_correct_as_cond": "true",
    "non_overlap_masks": "false",
    "fill_hole_area": 0,
}


def official(name, size=512, more=None):
    """`sam2_hiera_tiny`, `sam2.1_hiera_base_plus`, ...; `more` changes of the configuration."""
    generation, _, rest = name.partition("_hiera_")
    return build(f"configs/{generation}/{generation}_hiera_{FILES[rest]}.yaml", size, more or {})


def toy(version, size=128, more=None):
    """`Config::toy`; version is "2.0" or "2.1", `more` changes of the configuration."""
    generation = {"2.0": "sam2", "2.1": "sam2.1"}[version]
    changes = {
        "image_encoder.trunk.embed_dim": 16,
        "image_encoder.trunk.stages": [1, 2, 2, 1],
        "image_encoder.trunk.global_att_blocks": [4],
        "image_encoder.neck.d_model": 64,
        "image_encoder.neck.position_encoding.num_pos_feats": 64,
        "image_encoder.neck.backbone_channel_list": [128, 64, 32, 16],
        "memory_attention.d_model": 64,
        "memory_attention.num_layers": 2,
        "memory_attention.layer.d_model": 64,
        "memory_attention.layer.dim_feedforward": 64,
        "memory_attention.layer.self_attention.embedding_dim": 64,
        "memory_attention.layer.cross_attention.embedding_dim": 64,
        "memory_attention.layer.cross_attention.kv_in_dim": 16,
        "memory_encoder.out_dim": 16,
        "+memory_encoder.in_dim": 64,
        "memory_encoder.position_encoding.num_pos_feats": 16,
        "+memory_encoder.mask_downsampler.embed_dim": 64,
        "memory_encoder.fuser.layer.dim": 64,
        **(more or {}),
    }
    # SAM2Base writes these two numbers into its code.
    plain = sam2_base.TwoWayTransformer, sam2_base.MaskDecoder
    sam2_base.TwoWayTransformer = lambda **k: TwoWayTransformer(**{**k, "mlp_dim": TOY_MLP})
    sam2_base.MaskDecoder = lambda **k: MaskDecoder(**{**k, "iou_head_hidden_dim": TOY_IOU})
    try:
        return build(f"configs/{generation}/{generation}_hiera_t.yaml", size, changes)
    finally:
        sam2_base.TwoWayTransformer, sam2_base.MaskDecoder = plain


def build(file, size, changes):
    overrides = [f"++model.image_size={size}"]
    overrides += [f"++model.{key.lstrip('+')}={value}".replace(" ", "") for key, value in changes.items()]
    overrides += [f"++model.sam_mask_decoder_extra_args.{key}={value}" for key, value in STABILITY.items()]
    config = compose(config_name=file, overrides=overrides)
    OmegaConf.resolve(config)
    model = instantiate(config.model, _recursive_=True).eval()
    with torch.no_grad():
        fill_pseudo_random(model)
    return model
