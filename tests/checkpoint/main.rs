//! Weights files: good ones come back value for value, and every bad one gives a line that names it and what is wrong.
//!
//! The `.pt.bin` fixtures are made by `tests/fixtures/make_pt.py`.

mod bad;

use promem::model::checkpoint::{self, describe, read, recognise, write_safetensors, WeightLayout};
use promem::model::config::{Config, Size, Version};
use promem::model::weights::{load_strict, StateDict};
use promem::output::Overwrite;
use promem::ErrorKind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{nn, Device, Kind, Tensor};

type Shapes = BTreeMap<String, Vec<i64>>;

const PATCH_EMBED: &str = "image_encoder.trunk.patch_embed.proj.weight";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.pt.bin"))
}

/// As `ramp` in make_pt.py.
fn ramp(size: &[i64]) -> Tensor {
    let count: i64 = size.iter().product();
    Tensor::arange(count, (Kind::Float, Device::Cpu)).remainder(251.0).reshape(size)
}

fn assert_same(a: &StateDict, b: &StateDict) {
    assert_eq!(a.shapes(), b.shapes());
    for (key, tensor) in a.iter() {
        let other = b.get(key).unwrap();
        assert_eq!(tensor.kind(), other.kind(), "{key}");
        assert_eq!(tensor, other, "{key}");
    }
}

fn toy_state() -> (Config, StateDict) {
    let config = Config::toy(Version::V2_1);
    let mut state = StateDict::new();
    for key in ["no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"] {
        state.insert(key, ramp(&[1, 16]).to_kind(Kind::BFloat16)).unwrap();
    }
    state.insert(PATCH_EMBED, ramp(&[16, 3, 7, 7])).unwrap();
    state.insert("image_encoder.trunk.pos_embed", ramp(&[1, 16, 7, 7]).to_kind(Kind::Half)).unwrap();
    for block in 0..6 {
        let transposed = ramp(&[3, 2]).tr();
        state.insert(format!("image_encoder.trunk.blocks.{block}.attn.qkv.weight"), transposed).unwrap();
    }
    (config, state)
}

fn origin() -> BTreeMap<String, String> {
    [("promem.made_by", "tests/checkpoint/main.rs"), ("promem.licence", "Apache-2.0")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

// ---- good files ----

#[test]
fn a_published_file_holds_its_weights_under_model() {
    let checkpoint = read(&fixture("nested")).unwrap();
    assert_eq!(checkpoint.layout, WeightLayout::Nested);
    assert_eq!(checkpoint.config, Config::official(Version::V2_1, Size::Tiny));
    assert_eq!(checkpoint.state.len(), 17);
    assert_eq!(*checkpoint.state.get(PATCH_EMBED).unwrap(), ramp(&[96, 3, 7, 7]).to_kind(Kind::BFloat16));
    assert_eq!(*checkpoint.state.get("image_encoder.trunk.blocks.11.norm1.weight").unwrap(), ramp(&[3]) + 11.0);
    assert!(checkpoint.metadata.is_empty());
}

#[test]
fn a_bare_state_dict_and_a_newer_pickle_protocol_hold_the_same() {
    let nested = read(&fixture("nested")).unwrap();
    let bare = read(&fixture("bare")).unwrap();
    assert_eq!(bare.layout, WeightLayout::Bare);
    assert_same(&bare.state, &nested.state);
    assert_same(&read(&fixture("protocol_4")).unwrap().state, &nested.state);
}

#[test]
fn what_lies_beside_the_weights_of_a_training_checkpoint_is_named_and_not_read() {
    let training = read(&fixture("training")).unwrap();
    assert_eq!(training.layout, WeightLayout::Nested);
    assert_same(&training.state, &read(&fixture("nested")).unwrap().state);
    assert_eq!(training.metadata["not_read"], "optimizer, epoch, loss, names, steps, settings, meters");
}

#[test]
fn views_of_a_shared_storage_come_back_as_they_were() {
    let state = read(&fixture("views")).unwrap().state;
    let both = ramp(&[2, 3, 4]);
    assert_eq!(*state.get("view.whole").unwrap(), both);
    assert_eq!(*state.get("view.second").unwrap(), both.get(1));
    assert_eq!(*state.get("view.transposed").unwrap(), both.transpose(0, 2));
    assert_eq!(*state.get("view.every_other").unwrap(), both.flatten(0, 2).slice(0, 1, 24, 2));
    assert_eq!(state.get("view.scalar").unwrap().size(), [0i64; 0]);
    assert_eq!(state.get("view.scalar").unwrap().double_value(&[]), 23.0);
    assert_eq!(*state.get("view.parameter").unwrap(), ramp(&[2, 2]));
}

#[test]
fn our_own_files_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.safetensors");
    let (config, state) = toy_state();
    write_safetensors(&path, &config, &state, &origin(), Overwrite::Refuse).unwrap();
    let back = read(&path).unwrap();
    assert_eq!(back.layout, WeightLayout::Safetensors);
    assert_eq!(back.config, config);
    assert_eq!(back.metadata["promem.licence"], "Apache-2.0");
    assert_eq!(back.metadata["promem.format"], "1");
    assert_same(&back.state, &state);

    let again = folder.path().join("again.safetensors");
    write_safetensors(&again, &back.config, &back.state, &origin(), Overwrite::Refuse).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes, std::fs::read(&again).unwrap(), "the same weights give the same bytes");
    let independent = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(independent.len(), state.len());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file was left behind");
}

#[test]
fn values_that_are_not_finite_survive_writing_so_that_loading_can_refuse_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.safetensors");
    let (config, mut state) = toy_state();
    let bits = [0x7fc0_1234u32, 0x8000_0000, 0x0000_0001, 0xff80_0000].map(f32::from_bits);
    state.insert("odd", Tensor::from_slice(&bits)).unwrap();
    write_safetensors(&path, &config, &state, &origin(), Overwrite::Refuse).unwrap();
    let back: Vec<f32> = Vec::try_from(read(&path).unwrap().state.get("odd").unwrap()).unwrap();
    assert_eq!(back.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits.map(f32::to_bits));
}

#[test]
fn an_existing_file_is_replaced_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.safetensors");
    std::fs::write(&path, "precious").unwrap();
    let (config, state) = toy_state();
    let error = write_safetensors(&path, &config, &state, &origin(), Overwrite::Refuse).unwrap_err();
    assert_eq!(error.to_string(), format!("output `{}` exists already; --force overwrites it", path.display()));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    write_safetensors(&path, &config, &state, &origin(), Overwrite::Replace).unwrap();
    assert_same(&read(&path).unwrap().state, &state);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (config, state) = toy_state();
    let path = Path::new("/no/such/folder/toy.safetensors");
    let error = write_safetensors(path, &config, &state, &origin(), Overwrite::Refuse).unwrap_err();
    assert!(error.to_string().contains("there is no folder `/no/such/folder`"), "{error}");
}

#[test]
fn a_configuration_that_does_not_fit_its_weights_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (_, state) = toy_state();
    let write = |config: &Config| {
        let path = folder.path().join("toy.safetensors");
        write_safetensors(&path, config, &state, &origin(), Overwrite::Refuse).unwrap_err().to_string()
    };
    assert_eq!(
        write(&Config::official(Version::V2_1, Size::Tiny)),
        "configuration `sam2.1_hiera_tiny` has embed_dim 96, 12 blocks, pos_embed 7x7, \
         the weights have embed_dim 16, 6 blocks, pos_embed 7x7"
    );
    assert_eq!(write(&Config::toy(Version::V2_0)), "configuration `toy` is of generation 2.0, the weights of 2.1");
    assert_eq!(
        write(&Config { hidden_dim: 1 << 40, ..Config::toy(Version::V2_1) }),
        "configuration: hidden_dim is 1099511627776, expected 1 to 8192"
    );
    assert_eq!(
        write(&Config { image_size: 100, ..Config::toy(Version::V2_1) }),
        "configuration: image_size is 100, expected a multiple of 32"
    );
}

#[test]
fn safetensors_without_our_metadata_are_recognised_by_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.safetensors");
    let nested = read(&fixture("nested")).unwrap();
    let tensors: Vec<(&str, &Tensor)> = nested.state.iter().collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let foreign = read(&path).unwrap();
    assert_eq!(foreign.config, Config::official(Version::V2_1, Size::Tiny));
    assert_eq!(foreign.layout, WeightLayout::Safetensors);
    assert_same(&foreign.state, &nested.state);
}

#[test]
fn a_file_loads_into_variables_of_its_names() {
    let state = read(&fixture("views")).unwrap().state;
    let mut store = nn::VarStore::new(Device::Cpu);
    for (key, shape) in state.shapes() {
        let mut path = store.root();
        let (folders, name) = key.rsplit_once('.').unwrap_or(("", &key));
        for folder in folders.split('.').filter(|f| !f.is_empty()) {
            path = path / folder;
        }
        let _ = path.zeros(name, &shape);
    }
    load_strict(&mut store, state).unwrap();
    assert_eq!(store.variables()["view.transposed"], ramp(&[2, 3, 4]).transpose(0, 2));
}

#[test]
fn a_description_gives_one_fact_a_line() {
    let description = describe(&read(&fixture("training")).unwrap());
    assert_eq!(
        description.to_string(),
        "layout: PyTorch, weights under `model`\n\
         configuration: sam2.1_hiera_tiny (SAM 2.1)\n\
         image size: 512 pixels\n\
         tensors: 17\n\
         parameters: 19044\n\
         number formats: bf16 (2), f16 (1), f32 (14)\n\
         not_read: optimizer, epoch, loss, names, steps, settings, meters"
    );
}

#[test]
fn the_writer_alone_sets_its_own_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = toy_state();
    let metadata = [(checkpoint::FORMAT.to_owned(), "9".to_owned())].into();
    let path = folder.path().join("toy.safetensors");
    let error = write_safetensors(&path, &config, &state, &metadata, Overwrite::Refuse).unwrap_err();
    assert_eq!(error.to_string(), "metadata `promem.format` is set by the writer");
    assert!(!path.exists());
}

// ---- recognition ----

fn official_shapes(name: &str) -> Shapes {
    let table: Value = serde_json::from_str(include_str!("../fixtures/official_shapes.json")).unwrap();
    let entry = &table[name];
    if let Some(sibling) = entry.get("like") {
        let mut shapes = official_shapes(sibling.as_str().unwrap());
        for key in entry["without"].as_array().unwrap() {
            shapes.remove(key.as_str().unwrap()).unwrap();
        }
        return shapes;
    }
    serde_json::from_value(entry.clone()).unwrap()
}

#[test]
fn all_eight_published_networks_are_recognised() {
    let counts = [471, 519, 615, 903];
    for (size, count) in Size::ALL.into_iter().zip(counts) {
        for (version, generation, fewer) in [(Version::V2_0, "sam2", 3), (Version::V2_1, "sam2.1", 0)] {
            let name = format!("{generation}_hiera_{}", size.name());
            let shapes = official_shapes(&name);
            assert_eq!(shapes.len(), count - fewer, "{name}");
            let config = recognise(&shapes).unwrap();
            assert_eq!(config, Config::official(version, size));
            assert_eq!(config.name, name);
        }
    }
}

#[test]
fn a_network_between_the_generations_is_refused() {
    let mut shapes = official_shapes("sam2.1_hiera_small");
    shapes.remove("obj_ptr_tpos_proj.weight");
    let error = recognise(&shapes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert_eq!(
        error.to_string(),
        "neither SAM 2.0 nor 2.1: found `no_obj_embed_spatial`, `obj_ptr_tpos_proj.bias` without `obj_ptr_tpos_proj.weight`"
    );
}

#[test]
fn an_unknown_size_is_told_with_what_was_found_and_what_is_known() {
    let mut shapes = official_shapes("sam2.1_hiera_tiny");
    shapes.retain(|key, _| !key.starts_with("image_encoder.trunk.blocks.11."));
    assert_eq!(
        recognise(&shapes).unwrap_err().to_string(),
        "no known network: found embed_dim 96, 11 blocks, pos_embed 7x7; known are \
         tiny (embed_dim 96, 12 blocks, pos_embed 7x7), small (embed_dim 96, 16 blocks, pos_embed 7x7), \
         base_plus (embed_dim 112, 24 blocks, pos_embed 14x14), large (embed_dim 144, 48 blocks, pos_embed 7x7)"
    );
    shapes.insert(PATCH_EMBED.into(), vec![96, 3, 7]);
    assert_eq!(
        recognise(&shapes).unwrap_err().to_string(),
        format!("weight `{PATCH_EMBED}`: found [96, 3, 7], expected [embed_dim, 3, 7, 7]")
    );
    assert_eq!(recognise(&Shapes::new()).unwrap_err().to_string(), "no weights at all");
}
