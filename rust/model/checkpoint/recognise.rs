//! Tells from names and shapes which published network a state dict belongs to.
//!
//! In: names and shapes. Out: a [`Config`]. Knows nothing of files or values.

use crate::error::{Error, ErrorKind, Result};
use crate::model::config::{Config, HieraConfig, Size, TrunkConfig, Version, LARGEST_NUMBER, SIZE_MULTIPLE};
use crate::model::weights::is_printable;
use std::collections::{BTreeMap, BTreeSet};

const PATCH_EMBED: &str = "image_encoder.trunk.patch_embed.proj.weight";
const POS_EMBED: &str = "image_encoder.trunk.pos_embed";
const BLOCKS: &str = "image_encoder.trunk.blocks.";
/// What 2.1 added to the names of 2.0; all published sizes alike (`sam2==1.1.0`).
const ADDED_IN_2_1: [&str; 3] = ["no_obj_embed_spatial", "obj_ptr_tpos_proj.bias", "obj_ptr_tpos_proj.weight"];

/// The published network with these weights, at [`crate::model::config::DEFAULT_IMAGE_SIZE`].
///
/// MedSAM2 has the shapes of SAM 2.1 tiny and is recognised as such. The sizes differ in embedding width, number of
/// blocks and background position embedding; the generations in the three names that 2.1 added.
///
/// # Errors
/// The shapes fit none of the eight, or 2.0 and 2.1 are mixed. Networks of other sizes need a configuration in the
/// file.
pub fn recognise(shapes: &BTreeMap<String, Vec<i64>>) -> Result<Config> {
    let found = Trunk::of(shapes)?;
    let size = Size::ALL.into_iter().find(|size| Trunk::official(*size) == found).ok_or_else(|| {
        let known: Vec<String> =
            Size::ALL.iter().map(|size| format!("{} ({})", size.name(), Trunk::official(*size))).collect();
        unknown(format!("no known network: found {found}; known are {}", known.join(", ")))
    })?;
    Ok(Config::official(version(shapes)?, size))
}

/// Says whether a configuration that a file carries fits its weights, and is one a network can be built from.
pub(super) fn check(config: &Config, shapes: &BTreeMap<String, Vec<i64>>) -> Result<()> {
    if !is_printable(&config.name) {
        return Err(unknown("configuration: its name is too long or holds control characters".into()));
    }
    let numbers = [
        ("hidden_dim", config.hidden_dim),
        ("mem_dim", config.mem_dim),
        ("memory_attention_layers", config.memory_attention_layers),
        ("memory_attention_feedforward", config.memory_attention_feedforward),
        ("decoder_mlp_dim", config.decoder_mlp_dim),
        ("iou_head_hidden_dim", config.iou_head_hidden_dim),
        ("image_size", config.image_size),
    ];
    let lists = match &config.trunk {
        TrunkConfig::Hiera(trunk) => vec![
            ("embed_dim", vec![trunk.embed_dim]),
            ("num_heads", vec![trunk.num_heads]),
            ("stages", trunk.stages.to_vec()),
            ("window_spec", trunk.window_spec.to_vec()),
            ("window_pos_embed_bkg_spatial_size", trunk.window_pos_embed_bkg_spatial_size.to_vec()),
        ],
        TrunkConfig::Convolutional(trunk) => {
            vec![("channels", trunk.channels.to_vec()), ("residual_blocks", trunk.residual_blocks.to_vec())]
        }
    };
    let refinement = config.refinement.iter().flatten().map(|&value| ("refinement", value));
    let listed = lists.iter().flat_map(|(name, list)| list.iter().map(move |&value| (*name, value)));
    let intensity = config.intensity_channels.iter().map(|&value| ("intensity_channels", value));
    for (name, value) in numbers.into_iter().chain(listed).chain(refinement).chain(intensity) {
        if !(1..=LARGEST_NUMBER).contains(&value) {
            return Err(unknown(format!("configuration: {name} is {value}, expected 1 to {LARGEST_NUMBER}")));
        }
    }
    if config.image_size % SIZE_MULTIPLE != 0 {
        return Err(unknown(format!(
            "configuration: image_size is {}, expected a multiple of {SIZE_MULTIPLE}",
            config.image_size
        )));
    }
    multiple(("hidden_dim", config.hidden_dim), ("mem_dim", config.mem_dim))?;
    if let TrunkConfig::Hiera(trunk) = &config.trunk {
        multiple(("embed_dim", trunk.embed_dim), ("num_heads", trunk.num_heads))?;
        let blocks: i64 = trunk.stages.iter().sum();
        if let Some(block) = trunk.global_att_blocks.iter().find(|block| !(0..blocks).contains(*block)) {
            return Err(unknown(format!("configuration: global_att_blocks names block {block} of {blocks}")));
        }
        let (found, expected) = (Trunk::of(shapes)?, Trunk::configured(trunk));
        if found != expected {
            return Err(unknown(format!("configuration `{}` has {expected}, the weights have {found}", config.name)));
        }
    }
    let found = version(shapes)?;
    if found != config.version {
        return Err(unknown(format!(
            "configuration `{}` is of generation {}, the weights of {}",
            config.name,
            generation(config.version),
            generation(found)
        )));
    }
    Ok(())
}

fn multiple((name, whole): (&str, i64), (part_name, part): (&str, i64)) -> Result<()> {
    if whole % part == 0 {
        return Ok(());
    }
    Err(unknown(format!("configuration: {name} is {whole}, not a multiple of {part_name}, {part}")))
}

/// `2.0` or `2.1`.
pub(super) fn generation(version: Version) -> &'static str {
    match version {
        Version::V2_0 => "2.0",
        Version::V2_1 => "2.1",
    }
}

fn version(shapes: &BTreeMap<String, Vec<i64>>) -> Result<Version> {
    let (present, absent): (Vec<&str>, Vec<&str>) = ADDED_IN_2_1.iter().partition(|key| shapes.contains_key(**key));
    match (present.as_slice(), absent.as_slice()) {
        ([], _) => Ok(Version::V2_0),
        (_, []) => Ok(Version::V2_1),
        _ => Err(unknown(format!(
            "neither SAM 2.0 nor 2.1: found `{}` without `{}`",
            present.join("`, `"),
            absent.join("`, `")
        ))),
    }
}

/// What tells the sizes apart.
#[derive(PartialEq, Eq)]
struct Trunk {
    embed_dim: i64,
    blocks: i64,
    pos_embed: [i64; 2],
}

impl std::fmt::Display for Trunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { embed_dim, blocks, pos_embed: [h, w] } = self;
        write!(f, "embed_dim {embed_dim}, {blocks} blocks, pos_embed {h}x{w}")
    }
}

impl Trunk {
    fn official(size: Size) -> Self {
        Self::configured(&size.trunk())
    }

    fn configured(trunk: &HieraConfig) -> Self {
        Self {
            embed_dim: trunk.embed_dim,
            blocks: trunk.stages.iter().sum(),
            pos_embed: trunk.window_pos_embed_bkg_spatial_size,
        }
    }

    fn of(shapes: &BTreeMap<String, Vec<i64>>) -> Result<Self> {
        let shape = |key: &str| {
            shapes.get(key).map(Vec::as_slice).ok_or_else(|| {
                let names: Vec<String> = shapes.keys().take(3).map(|name| format!("`{name}`")).collect();
                unknown(match names.as_slice() {
                    [] => "no weights at all".to_string(),
                    names => format!("no weight `{key}`; the {} found begin with {}", shapes.len(), names.join(", ")),
                })
            })
        };
        let &[embed_dim, 3, 7, 7] = shape(PATCH_EMBED)? else {
            return Err(misshapen(PATCH_EMBED, shape(PATCH_EMBED)?, "[embed_dim, 3, 7, 7]"));
        };
        let &[1, _, height, width] = shape(POS_EMBED)? else {
            return Err(misshapen(POS_EMBED, shape(POS_EMBED)?, "[1, embed_dim, height, width]"));
        };
        let blocks: BTreeSet<&str> =
            shapes.keys().filter_map(|key| key.strip_prefix(BLOCKS)?.split('.').next()).collect();
        Ok(Self { embed_dim, blocks: blocks.len() as i64, pos_embed: [height, width] })
    }
}

fn misshapen(key: &str, found: &[i64], expected: &str) -> Error {
    unknown(format!("weight `{key}`: found {found:?}, expected {expected}"))
}

fn unknown(message: String) -> Error {
    Error::new(ErrorKind::Checkpoint, message)
}
