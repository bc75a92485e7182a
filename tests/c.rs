//! The C interface from C: compiled without a warning, right and wrong calls, lives, threads, cancelling, and under
//! AddressSanitizer.

use std::collections::BTreeSet;
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
        let program = Path::new(env!("CARGO_BIN_EXE_promem"));
        // Tests link the library where cargo builds it for them, which is not where `cargo build` leaves it.
        Self::of(program, &program.parent().unwrap().join("deps/libpromem.so"))
    }

    fn of(program: &Path, library: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libpromem.so", "libpromem.so.1"] {
            std::os::unix::fs::symlink(library, folder.path().join(name)).unwrap();
        }
        let demo = folder.path().join("demo");
        done(Command::new(program).arg("demo").arg(&demo));
        Self { model: demo.join("toy.safetensors"), folder }
    }

    fn compile(&self, source: &str, options: &[&str]) -> PathBuf {
        self.build(source, options, &["-lpromem", "-lm", "-lpthread"])
    }

    fn build(&self, source: &str, options: &[&str], libraries: &[&str]) -> PathBuf {
        let out = self.folder.path().join(source.replace(['/', '.'], "_"));
        let mut command = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        command.args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g"]).args(options);
        command.arg("-I").arg(root().join("include")).arg(root().join(source)).arg("-o").arg(&out);
        command.arg("-L").arg(self.folder.path()).args(libraries);
        done(&mut command);
        out
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libpromem.so")
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.arg(&self.model).args(arguments).env("LD_LIBRARY_PATH", self.folder.path());
        // What is too large for any memory is refused as it is without AddressSanitizer.
        command.env("ASAN_OPTIONS", "allocator_may_return_null=1");
        String::from_utf8(done(&mut command).stdout).unwrap()
    }
}

#[test]
fn the_header_compiles_under_every_warning() {
    let world = World::new();
    let program = world.compile("tests/c/header.c", &["-Wpadded", "-Wconversion", "-Wstrict-prototypes"]);
    world.run(&program, &[]);
}

/// Runs every test of a C program under AddressSanitizer: it watches the allocator of the whole process, the library's and
/// libtorch's included.
fn run_watched(source: &str, tests: usize) {
    let world = World::new();
    let program = world.compile(source, &["-fsanitize=address,undefined"]);
    assert!(String::from_utf8_lossy(&std::fs::read(&program).unwrap()).contains("__asan_init"), "ASan is not on");
    let passed = world.run(&program, &["all"]);
    assert_eq!(passed.lines().count(), tests, "{passed}");
}

#[test]
fn every_call_answers_and_nothing_leaks() {
    run_watched("tests/c/api.c", 7);
}

#[test]
fn wrong_arguments_are_refused_with_a_message() {
    run_watched("tests/c/refusals.c", 3);
}

#[test]
fn prompts_of_every_kind_change_masks_and_are_undone() {
    run_watched("tests/c/prompts.c", 6);
}

#[test]
fn jobs_and_threads_share_a_process() {
    run_watched("tests/c/jobs.c", 3);
}

#[test]
fn many_lives_take_no_more_memory() {
    let world = World::new();
    let program = world.compile("tests/c/api.c", &[]);
    world.run(&program, &["rounds", "60"]);
}

#[test]
fn hostile_arguments_are_refused_and_touch_nothing() {
    let world = World::new();
    let passed =
        world.run(&world.compile("tests/c/hostile.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]), &[]);
    assert_eq!(passed.lines().count(), 8, "{passed}");
}

/// A build in which Rust checks its own preconditions, such as that of a slice's length.
#[test]
#[ignore = "builds everything once more, for minutes: make soak"]
fn hostile_arguments_break_no_precondition_of_rust() {
    let target = root().join("target/debug-assertions");
    done(Command::new(env!("CARGO")).current_dir(root()).args(["build", "--lib", "--target-dir"]).arg(&target));
    let world = World::of(Path::new(env!("CARGO_BIN_EXE_promem")), &target.join("debug/libpromem.so"));
    world.run(&world.compile("tests/c/hostile.c", &[]), &[]);
}

#[test]
fn a_session_may_be_freed_in_its_callback_and_a_thread_may_end() {
    let world = World::new();
    let watched = world.compile("tests/c/lifetimes.c", &["-fsanitize=address,undefined"]);
    world.run(&watched, &["callbacks"]);
    // Not watched: what a thread registers while its own destructors run, the C library does not free.
    world.run(&world.compile("tests/c/lifetimes.c", &[]), &["threads"]);
}

#[test]
fn forked_children_are_refused_and_do_not_hang() {
    let world = World::new();
    world.run(&world.compile("tests/c/lifetimes.c", &[]), &["forks"]);
}

#[test]
fn a_process_that_ends_while_something_is_computed_ends_as_it_wants() {
    let world = World::new();
    eprintln!("{}", world.run(&world.compile("tests/c/ends.c", &[]), &["20"]));
}

/// `make soak`
#[test]
#[ignore = "minutes: make soak"]
fn processes_that_end_while_something_is_computed_never_die_of_a_signal() {
    let world = World::new();
    eprintln!("{}", world.run(&world.compile("tests/c/ends.c", &[]), &["100"]));
}

#[test]
fn a_library_that_is_unloaded_while_a_job_runs_stays() {
    let world = World::new();
    let library = world.library();
    world.run(&world.build("tests/c/unload.c", &[], &["-ldl"]), &[library.to_str().unwrap()]);
}

/// Names that `nm` lists of the library's dynamic symbols; `None` where there is no `nm`.
fn symbols(world: &World, which: &str) -> Option<BTreeSet<String>> {
    let output = match Command::new("nm").args(["-D", which]).arg(world.library()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("nm is not there: the library's symbols are not checked");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split_whitespace().last());
    Some(names.map(|name| name.split('@').next().unwrap().to_string()).collect())
}

#[test]
fn the_library_exports_the_functions_of_its_header_and_nothing_else() {
    let world = World::new();
    let Some(exported) = symbols(&world, "--defined-only") else { return };
    let header = std::fs::read_to_string(root().join("include/promem.h")).unwrap();
    let code = header.lines().filter(|line| !line.trim_start().starts_with("//") && !line.starts_with(" *"));
    let declared: BTreeSet<String> = code
        .filter_map(|line| line.split_once('(').and_then(|(before, _)| before.rsplit([' ', '*']).next()))
        .filter(|name| name.starts_with("promem_"))
        .map(str::to_string)
        .collect();
    assert!(declared.len() > 40, "{declared:?}");
    assert_eq!(exported, declared);
}

#[test]
fn a_host_cannot_replace_what_is_linked_into_the_library() {
    let world = World::new();
    let Some(open) = symbols(&world, "--undefined-only") else { return };
    assert!(open.contains("malloc") && open.len() > 100, "{open:?}");
    let ours =
        ["opj_", "BZ2_", "bz_", "mz_", "tinfl_", "tdefl_", "inflate", "deflate", "tch_", "at_", "atc_", "promem_"];
    let replaceable: Vec<_> = open.iter().filter(|name| ours.iter().any(|prefix| name.starts_with(prefix))).collect();
    assert!(replaceable.is_empty(), "{replaceable:?}");
}

/// `make soak`
#[test]
#[ignore = "half a minute: make soak"]
fn a_thousand_lives_take_no_more_memory() {
    let world = World::new();
    let program = world.compile("tests/c/api.c", &[]);
    eprintln!("{}", world.run(&program, &["rounds", "1000"]));
}

/// What the build script says to cargo, in an environment of its own.
fn build_script(variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("build");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    done(Command::new(compiler).args(["--edition", "2021", "-o"]).arg(&program).arg(root().join("build.rs")));
    let mut command = Command::new(program);
    command.env_clear().env("CARGO_CFG_TARGET_OS", "linux").env("DEP_TORCH_SYS_LIBTORCH_LIB", "/home/me/torch/lib");
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn a_library_to_pass_on_has_no_run_path_of_the_machine_and_needs_remaps() {
    let flags = ("CARGO_ENCODED_RUSTFLAGS", "--remap-path-prefix=/home/me=home\x1f-g");
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let plain = build_script(&[]);
    assert!(plain.status.success() && said(&plain).contains("-rpath,/home/me/torch/lib"), "{}", said(&plain));
    let package = build_script(&[("PROMEM_PACKAGE", "1"), flags]);
    assert!(package.status.success(), "{}", said(&package));
    assert!(
        !said(&package).contains("/home/me") && said(&package).contains("-rpath,$ORIGIN/../lib"),
        "{}",
        said(&package)
    );
    let refused = build_script(&[("PROMEM_PACKAGE", "1"), ("CARGO_ENCODED_RUSTFLAGS", "-g")]);
    assert!(!refused.status.success() && said(&refused).contains("expected --remap-path-prefix"), "{}", said(&refused));
}
