//! The C interface from C: compiled without a warning, right and wrong calls, lives, threads, cancelling, and under AddressSanitizer.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct World {
    folder: tempfile::TempDir,
    model: PathBuf,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

impl World {
    /// The library under its links' names, and the toy model.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_promem"));
        // Tests link the library where cargo builds it for them, which is not where `cargo build` leaves it.
        let library = program.parent().unwrap().join("deps/libpromem.so");
        for name in ["libpromem.so", "libpromem.so.1"] {
            std::os::unix::fs::symlink(&library, folder.path().join(name)).unwrap();
        }
        let demo = folder.path().join("demo");
        done(Command::new(program).arg("demo").arg(&demo));
        Self { model: demo.join("toy.safetensors"), folder }
    }

    fn compile(&self, source: &str, options: &[&str]) -> PathBuf {
        let out = self.folder.path().join(source.replace(['/', '.'], "_"));
        let mut command = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        command.args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g"]).args(options);
        command.arg("-I").arg(root().join("include")).arg(root().join(source)).arg("-o").arg(&out);
        command.arg("-L").arg(self.folder.path()).args(["-lpromem", "-lm", "-lpthread"]);
        done(&mut command);
        out
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.arg(&self.model).args(arguments).env("LD_LIBRARY_PATH", self.folder.path());
        String::from_utf8(done(&mut command).stdout).unwrap()
    }
}

#[test]
fn the_header_compiles_under_every_warning() {
    let world = World::new();
    let program = world.compile("tests/c/header.c", &["-Wpadded", "-Wconversion", "-Wstrict-prototypes"]);
    world.run(&program, &[]);
}

#[test]
fn every_call_answers_and_nothing_leaks() {
    let world = World::new();
    // With it, the allocator of the whole process is watched, the library's and libtorch's included.
    let program = world.compile("tests/c/api.c", &["-fsanitize=address,undefined"]);
    assert!(String::from_utf8_lossy(&std::fs::read(&program).unwrap()).contains("__asan_init"), "ASan is not on");
    let told = world.run(&program, &["all"]);
    assert!(told.lines().count() >= 14, "{told}");
}

#[test]
fn many_lives_take_no_more_memory() {
    let world = World::new();
    let program = world.compile("tests/c/api.c", &[]);
    world.run(&program, &["rounds", "60"]);
}

/// `make soak`
#[test]
#[ignore = "half a minute: make soak"]
fn a_thousand_lives_take_no_more_memory() {
    let world = World::new();
    let program = world.compile("tests/c/api.c", &[]);
    eprintln!("{}", world.run(&program, &["rounds", "1000"]));
}
