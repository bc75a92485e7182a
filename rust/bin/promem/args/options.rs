//! Options of every command that propagates through a volume.

use super::value::Windows;
use clap::{Args, ValueEnum};
use promem::geometry::Axis;
use promem::output::Overwrite;
use promem::session::{DeviceChoice, Direction, PrecisionChoice};
use promem::slices::intensity::Window;
use promem::tracking::{FieldOfView, MaskPrior, PointerRule, PromptMemory, SearchOptions};
use promem::Result;

#[derive(Args)]
#[command(next_help_heading = "Propagation")]
pub struct PropagationOptions {
    /// Slice axis; auto: the axis of the largest spacing, else k
    #[arg(long, value_enum, default_value = "auto")]
    axis: AxisChoice,
    /// Direction from the prompted slices; up is towards higher slice numbers
    #[arg(long, value_enum, default_value = "both")]
    direction: DirectionChoice,
    /// Minimum object-presence probability to continue [default: the model's own, else 0.5]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    presence_threshold: Option<f64>,
    /// Segment every slice of the range, also where the object is probably absent
    #[arg(long)]
    no_stop: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum AxisChoice {
    Auto,
    I,
    J,
    K,
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionChoice {
    Both,
    Up,
    Down,
}

impl PropagationOptions {
    /// `None` for `auto`.
    pub fn axis(&self) -> Option<Axis> {
        match self.axis {
            AxisChoice::Auto => None,
            AxisChoice::I => Some(Axis::I),
            AxisChoice::J => Some(Axis::J),
            AxisChoice::K => Some(Axis::K),
        }
    }

    pub fn direction(&self) -> Direction {
        match self.direction {
            DirectionChoice::Both => Direction::Both,
            DirectionChoice::Up => Direction::Up,
            DirectionChoice::Down => Direction::Down,
        }
    }
}

#[derive(Args)]
#[command(next_help_heading = "Memory")]
pub struct MemoryOptions {
    /// promem: memory window search; sam2: SAM 2's propagation
    #[arg(long, value_enum, default_value = "promem")]
    memory: MemoryMode,
    /// Memory windows of the candidates on each slice, 1 to 6 [default: 1,6; sam2: 6]
    #[arg(long, value_name = "N,N...")]
    windows: Option<Windows>,
    /// Memory banks kept from slice to slice [default: 2; sam2: 1]
    #[arg(long, value_name = "N")]
    beams: Option<usize>,
    /// Compute further candidates only where the first one's predicted IoU is below this [default: always]
    #[arg(long, value_name = "IOU", allow_negative_numbers = true)]
    accept_iou: Option<f64>,
    /// Weight of the intensity model of the prompted slices, 0 to 4 [default: the model's own, else 0]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    intensity_weight: Option<f64>,
    /// Mask prior from the previous slice: none, previous or registered [default: the model's own]
    #[arg(long, value_name = "PRIOR")]
    prior: Option<MaskPrior>,
    /// Input of the network: the whole slice, or the object and its surroundings [default: the model's own]
    #[arg(long, value_name = "slice|object")]
    field_of_view: Option<FieldOfView>,
    /// Let every candidate attend to the prompted slices
    #[arg(long)]
    include_prompt: bool,
    /// Object pointers: of the attended slices (window), or up to 16 as in SAM 2 [default: as --memory]
    #[arg(long, value_enum)]
    pointers: Option<PointerChoice>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MemoryMode {
    Promem,
    Sam2,
}

#[derive(Clone, Copy, ValueEnum)]
enum PointerChoice {
    Window,
    Sam2,
}

/// The search options of both groups, checked.
pub fn search(propagation: &PropagationOptions, memory: &MemoryOptions) -> Result<SearchOptions> {
    let mut search = match memory.memory {
        MemoryMode::Promem => SearchOptions::promem(),
        // The command line stops in both modes unless --no-stop is given.
        MemoryMode::Sam2 => SearchOptions { stop_when_absent: true, ..SearchOptions::sam2() },
    };
    if let Some(Windows(windows)) = &memory.windows {
        search.windows = windows.clone();
    }
    search.beams = memory.beams.unwrap_or(search.beams);
    search.accept_iou = memory.accept_iou;
    search.intensity_weight = memory.intensity_weight.or(search.intensity_weight);
    if memory.include_prompt {
        search.prompt = PromptMemory::Pinned;
    }
    match memory.pointers {
        None => {}
        Some(PointerChoice::Window) => search.pointers = PointerRule::Window,
        Some(PointerChoice::Sam2) => search.pointers = PointerRule::Sam2,
    }
    search.prior = memory.prior.or(search.prior);
    search.field_of_view = memory.field_of_view.or(search.field_of_view);
    search.presence_threshold = propagation.presence_threshold;
    search.stop_when_absent &= !propagation.no_stop;
    search.validate()?;
    Ok(search)
}

#[derive(Args)]
#[command(next_help_heading = "Intensities and computing")]
pub struct ComputingOptions {
    /// Intensity window: auto, soft, lung, bone, brain or WIDTH,LEVEL
    #[arg(long, value_name = "WINDOW", default_value = "auto", allow_hyphen_values = true)]
    pub window: Window,
    /// auto, fp32 or bf16
    #[arg(long, value_name = "PRECISION", default_value = "auto")]
    pub precision: PrecisionChoice,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Maximum memory of cached slice embeddings, in MB
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    cache_mb: u32,
    #[command(flatten)]
    pub image_size: ImageSize,
}

impl ComputingOptions {
    pub fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    pub fn cache_bytes(&self) -> usize {
        (self.cache_mb as usize) << 20
    }
}

#[derive(Args)]
pub struct ImageSize {
    /// Side of the network's square input, a multiple of 32 [default: the model's own, else 512]
    #[arg(long, value_name = "N")]
    pub image_size: Option<i64>,
}

#[derive(Args)]
pub struct Force {
    /// Overwrite existing files
    #[arg(long, help_heading = "Output")]
    force: bool,
}

impl Force {
    pub fn overwrite(&self) -> Overwrite {
        if self.force {
            Overwrite::Replace
        } else {
            Overwrite::Refuse
        }
    }
}
