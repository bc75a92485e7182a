//! Bad weights files: each gives one line that names it and what is wrong, and none panics.

use super::*;

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
