//! Weights files: good ones come back value for value, and every bad one gives a line that names it and what is wrong.
//!
//! The `.pt.bin` fixtures are made by `tests/fixtures/make_pt.py`.

use promem::model::checkpoint::{self, describe, read, recognise, write_safetensors, Layout};
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

/// The message without the file's name, which is asserted to lead it.
fn complaint(path: &Path) -> (ErrorKind, String) {
    let error = read(path).map(|c| describe(&c)).expect_err(&format!("{} was read", path.display()));
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    let rest = text.strip_prefix(&format!("`{}`: ", path.display())).unwrap_or_else(|| panic!("no name: {text}"));
    (error.kind(), rest.to_owned())
}

fn complaint_about_bytes(name: &str, bytes: &[u8]) -> (ErrorKind, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    complaint(&path)
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
    [("promem.made_by", "tests/checkpoint.rs"), ("promem.licence", "Apache-2.0")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

// ---- good files ------------------------------------------------------------------------------------------------------

#[test]
fn a_published_file_holds_its_weights_under_model() {
    let checkpoint = read(&fixture("nested")).unwrap();
    assert_eq!(checkpoint.layout, Layout::Nested);
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
    assert_eq!(bare.layout, Layout::Bare);
    assert_same(&bare.state, &nested.state);
    assert_same(&read(&fixture("protocol_4")).unwrap().state, &nested.state);
}

#[test]
fn what_lies_beside_the_weights_of_a_training_checkpoint_is_named_and_not_read() {
    let training = read(&fixture("training")).unwrap();
    assert_eq!(training.layout, Layout::Nested);
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
    assert_eq!(back.layout, Layout::Safetensors);
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
    assert_eq!(foreign.layout, Layout::Safetensors);
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

// ---- recognition -----------------------------------------------------------------------------------------------------

fn official_shapes(name: &str) -> Shapes {
    let table: Value = serde_json::from_str(include_str!("fixtures/official_shapes.json")).unwrap();
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

// ---- bad files -------------------------------------------------------------------------------------------------------

#[test]
fn every_bad_pytorch_file_gives_its_own_line() {
    use ErrorKind::{Checkpoint, Format, Unsupported};
    let only_tensors = ": a weights file may only hold tensors";
    let cases: &[(&str, ErrorKind, String)] = &[
        ("code_in_weights", Checkpoint, format!("found `posix.system`{only_tensors}")),
        ("code_beside", Checkpoint, format!("found `posix.system`{only_tensors}")),
        ("unknown_call", Checkpoint, format!("weight `a`: found `__main__.unknown_function`{only_tensors}")),
        ("unknown_call_in_hooks", Checkpoint, format!("weight `a`: found `__main__.unknown_function`{only_tensors}")),
        ("model_is_an_object", Checkpoint, format!("entry `model`: found `__main__.Settings`{only_tensors}")),
        ("whole_object", Checkpoint, format!("found `__main__.Settings`{only_tensors}")),
        ("torchscript", Checkpoint, "a weights file may only hold tensors".into()),
        ("wrapped", Checkpoint, "found the entries `state_dict`, `epoch`; expected `model`, or the weights".into()),
        ("integers", Checkpoint, "weight `steps`: found `torch.LongStorage`, expected f32, f16 or bf16".into()),
        ("doubles", Checkpoint, "weight `a`: found `torch.DoubleStorage`, expected f32, f16 or bf16".into()),
        ("number", Checkpoint, format!("weight `epoch`: found an integer{only_tensors}")),
        ("numbered", Checkpoint, format!("found an integer as the name of a weight{only_tensors}")),
        ("prefixed", Checkpoint, format!("no weight `{PATCH_EMBED}`; the 17 found begin with `module.image_")),
        ("empty_model", Checkpoint, "no weights at all".into()),
        ("mixed_generations", Checkpoint, "neither SAM 2.0 nor 2.1".into()),
        ("unusual_width", Checkpoint, "no known network: found embed_dim 20, 12 blocks".into()),
        ("legacy", Format, "a PyTorch file of before release 1.6".into()),
        ("beyond_storage", Format, "weight `a`: shape [2, 3] with strides [3, 1] at 1 does not fit".into()),
        ("huge_shape", Format, "weight `a`: shape [1099511627776, 1099511627776]".into()),
        ("expanded", Format, "weight `a`: shape [1099511627776] with strides [0]".into()),
        ("negative", Format, "weight `a`: its shape is not made of numbers".into()),
        ("no_values", Format, "weight `a`: shape [0, 4611686018427387904, 4]".into()),
        ("compressed", Format, "weight `a`: ".into()),
        ("large_pickle", Format, "has 5242880 bytes, expected at most 4194304".into()),
        ("missing_storage", Format, "weight `a`: no entry `beyond_storage.pt/data/0`".into()),
        ("short_storage", Format, "has 20 bytes, expected 6 values of Float".into()),
        ("big_endian", Unsupported, "values are big-endian, expected little-endian".into()),
        ("deep", Checkpoint, format!("found a tuple{only_tensors}")),
        ("doubling", Checkpoint, format!("found a tuple{only_tensors}")),
        ("cut_pickle", Format, "the pickle breaks off".into()),
        ("no_pickle", Format, "a zip archive without `data.pkl`, not a PyTorch file".into()),
        ("overlapping", Format, "entries overlap: they have more bytes together than the file".into()),
    ];
    for (name, kind, expected) in cases {
        let (found_kind, found) = complaint(&fixture(name));
        assert!(found.contains(expected), "{name}: {found}");
        assert_eq!(found_kind, *kind, "{name}: {found}");
        assert!(found.len() < 400, "{name}: {found}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = std::fs::read(fixture("nested")).unwrap();
    let steps = (0..whole.len()).step_by(1009).chain(whole.len() - 120..whole.len());
    for stop in steps {
        let (kind, text) = complaint_about_bytes("cut.pt", &whole[..stop]);
        assert_eq!(kind, ErrorKind::Format, "cut at {stop}: {text}");
    }
    let (_, text) = complaint_about_bytes("cut.pt", &whole[..20_000]);
    assert_eq!(text, "no zip directory at the end; the file breaks off");
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let whole = std::fs::read(fixture("nested")).unwrap();
    let expected = read(&fixture("nested")).unwrap().state;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.pt");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(53) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        match read(&path) {
            Ok(checkpoint) => assert_same(&checkpoint.state, &expected),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "only {refused} flips were noticed");
}

/// Checksums catch accidents; a forger writes the right one.
#[test]
fn a_forged_pickle_never_panics() {
    let whole = std::fs::read(fixture("views")).unwrap();
    let find = |magic: &[u8]| -> usize {
        let is_record = |at: &usize| {
            let name = &whole[*at + if magic[2] == 1 { 46 } else { 30 }..];
            whole[*at..].starts_with(magic) && name.starts_with(b"views.pt/data.pkl")
        };
        (0..whole.len() - 100).find(is_record).unwrap()
    };
    let (local, central) = (find(b"PK\x03\x04"), find(b"PK\x01\x02"));
    let word = |at: usize| usize::from(u16::from_le_bytes([whole[at], whole[at + 1]]));
    let start = local + 30 + word(local + 26) + word(local + 28);
    let size = u32::from_le_bytes(whole[central + 24..central + 28].try_into().unwrap()) as usize;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forged.pt");
    let mut refused = 0;
    for at in 0..size {
        // Opcodes that dig in the stack, and the byte's own neighbours.
        let byte = [b'R', b'0', b'(', 0x86, 0xff, b'u', 0, b'Q'][at % 8] ^ (at / 8 % 3) as u8;
        let mut bytes = whole.clone();
        bytes[start + at] = byte;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[start..start + size]);
        bytes[central + 16..central + 20].copy_from_slice(&crc.sum().to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        refused += usize::from(read(&path).is_err());
    }
    assert!(refused > size / 2, "only {refused} of {size} forgeries were noticed");
}

#[test]
fn a_forged_safetensors_header_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.safetensors");
    let (config, state) = toy_state();
    write_safetensors(&path, &config, &state, &origin(), Overwrite::Refuse).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for at in 0..8 + header {
        let mut bytes = whole.clone();
        bytes[at] = b"0-9\"[]{},\xff"[at % 10];
        std::fs::write(&path, bytes).unwrap();
        let _ = read(&path);
    }
}

#[test]
fn a_file_of_another_kind_is_called_by_its_kind() {
    let mut nifti = vec![0; 352];
    nifti[..4].copy_from_slice(&348i32.to_le_bytes());
    nifti[344..348].copy_from_slice(b"n+1\0");
    let cases: &[(&str, &[u8], &str)] = &[
        ("empty.pt", b"", "an empty file"),
        ("text.pt", b"These are no weights.\n", "a text file"),
        ("json.pt", b"{\"model\": 1}", "a text file"),
        ("ct.nii", &nifti, "a NIfTI image"),
        ("ct.nii.gz", b"\x1f\x8b\x08\0\0\0\0\0", "a gzip file, such as a `.nii.gz` image"),
        ("ct.nrrd", b"NRRD0004\ntype: short\n", "an NRRD image"),
        ("pointer.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "a Git LFS pointer"),
        ("list.pkl", b"\x80\x04]\x94.", "a bare Python pickle"),
        ("noise.bin", b"\xff\xfe\xfd\xfc\xfb", "an unknown kind of file"),
    ];
    for (name, bytes, expected) in cases {
        let (kind, text) = complaint_about_bytes(name, bytes);
        assert_eq!(kind, ErrorKind::Format, "{name}");
        assert!(text.starts_with(expected), "{name}: {text}");
        assert!(text.ends_with("expected a weights file (PyTorch `.pt` or `.safetensors`)"), "{name}: {text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (kind, text) = complaint(folder.path());
    assert_eq!((kind, text.as_str()), (ErrorKind::InvalidInput, "a directory, expected a weights file"));
    let (kind, text) = complaint(&folder.path().join("absent.pt"));
    assert_eq!(kind, ErrorKind::Io);
    assert!(text.starts_with("cannot read: "), "{text}");
}

/// A safetensors file with this header and this many bytes of values.
fn with_header(header: &str, values: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + values, 0);
    bytes
}

#[test]
fn every_bad_safetensors_file_gives_its_own_line() {
    use ErrorKind::{Checkpoint, Format, Unsupported};
    let tensor = |shape: &str, dtype: &str, stop: usize| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{stop}]}}}}"#)
    };
    let meta = |key: &str, value: &str| format!(r#"{{"__metadata__":{{"{key}":"{value}"}}}}"#);
    let mut huge = (u64::MAX / 2).to_le_bytes().to_vec();
    huge.extend(b"{\"a\":1}");
    let mut large = (15u64 << 20).to_le_bytes().to_vec();
    large.extend(b"{\"a\":1}");
    let cases: Vec<(Vec<u8>, ErrorKind, &str)> = vec![
        (with_header(&tensor("[2]", "F32", 8), 7), Format, "the tensors need 8 bytes, the file has 7"),
        (with_header(&tensor("[2]", "F32", 8), 9), Format, "the tensors need 8 bytes, the file has 9"),
        (with_header(&tensor("[3]", "F32", 8), 8), Format, "the header is damaged"),
        (with_header(&tensor("[4294967296,4294967296,4294967296]", "F32", 8), 8), Format, "the header is damaged"),
        (
            with_header(&tensor("[0,9223372036854775807,4]", "F32", 0), 0),
            Format,
            "weight `a`: shape [0, 9223372036854775807, 4], expected",
        ),
        (with_header(&tensor("[0]", "F32", 0), 0), Format, "weight `a`: shape [0], expected positive numbers"),
        (with_header(&tensor("[1]", "I64", 8), 8), Checkpoint, "weight `a`: found I64, expected f32, f16 or bf16"),
        (with_header("{\"a\":", 0), Format, "the header is damaged"),
        (with_header("{}", 0), Checkpoint, "no weights at all"),
        (with_header(&meta("promem.format", "2"), 0), Unsupported, r#"promem.format is "2", expected 1"#),
        (with_header(&meta("promem.config", "tiny"), 0), Checkpoint, "metadata `promem.config` is not a configuration"),
        (
            with_header(&tensor("[1]", "F32", 4).replace("\"a\"", r#""a\n\u001b[2J""#), 4),
            Format,
            "the name of a weight is too long or holds control characters",
        ),
        (
            with_header(&meta("promem.config", r#"{\"a\\nb\":1}"#), 0),
            Checkpoint,
            "metadata `promem.config` is not a configuration",
        ),
        (huge, Format, "an unknown kind of file"),
        (large, Format, "the header has 15728640 bytes, but the file only 15; the file breaks off"),
    ];
    for (bytes, kind, expected) in cases {
        let (found_kind, found) = complaint_about_bytes("bad.safetensors", &bytes);
        assert!(found.starts_with(expected), "{expected}: {found}");
        assert_eq!(found_kind, kind, "{found}");
    }
}

#[test]
fn a_forged_configuration_is_refused_before_a_network_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.safetensors");
    let (config, state) = toy_state();
    write_safetensors(&path, &config, &state, &origin(), Overwrite::Refuse).unwrap();
    let honest = std::fs::read(&path).unwrap();
    for (from, to, expected) in [
        (r#"\"num_heads\":1"#, r#"\"num_heads\":0"#, "configuration: num_heads is 0, expected 1 to 8192"),
        (r#"\"mem_dim\":16"#, r#"\"mem_dim\":15"#, "configuration: hidden_dim is 64, not a multiple of mem_dim, 15"),
        (r#"blocks\":[4]"#, r#"blocks\":[9]"#, "configuration: global_att_blocks names block 9 of 6"),
        (
            r#"stages\":[1"#,
            r#"stages\":[2"#,
            "configuration `toy` has embed_dim 16, 7 blocks, pos_embed 7x7, the weights",
        ),
    ] {
        let at = honest.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("no {from}"));
        let mut forged = honest.clone();
        forged[at..at + to.len()].copy_from_slice(to.as_bytes());
        let (kind, text) = complaint_about_bytes("forged.safetensors", &forged);
        assert_eq!(kind, ErrorKind::Checkpoint, "{text}");
        assert!(text.starts_with(expected), "{text}");
    }
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
