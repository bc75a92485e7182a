//! Options of every command that walks through a volume: axis, direction, memory, computing.

use super::{flag, image_size, numbers, option, text};
use clap::{value_parser, Arg, ArgMatches};
use promem::geometry::Axis;
use promem::session::{DeviceChoice, Direction, PrecisionChoice};
use promem::slices::intensity::Window;
use promem::tracking::{PointerRule, PromptMemory, SearchOptions};
use promem::{Error, Result};

/// With what a scan is walked through, and how it is shown.
pub struct Computing {
    /// Intensities.
    pub window: Window,
    pub image_size: Option<i64>,
    pub precision: PrecisionChoice,
    pub device: DeviceChoice,
    pub threads: Option<usize>,
    pub cache_mb: usize,
}

pub(super) fn direction_args() -> Vec<Arg> {
    vec![
        option("axis", "AXIS", "auto (largest spacing, else k), i, j or k").default_value("auto"),
        option("direction", "WAY", "both, up or down").default_value("both"),
        option(
            "presence-threshold",
            "P",
            "Minimum object-presence probability to continue [default: the model's own, else 0.5]",
        )
        .value_parser(value_parser!(f64)),
        flag("no-stop", "Predict every slice of the range, also where the object seems absent"),
    ]
}

pub(super) fn memory_args() -> Vec<Arg> {
    vec![
        option("memory", "MODE", "promem (memory window search) or sam2 (plain propagation)").default_value("promem"),
        option("windows", "N,N...", "Memory windows to try on each slice, 1 to 6 [default: 1,6; sam2: 6]"),
        option("beams", "K", "Banks kept from slice to slice [default: 2; sam2: 1]").value_parser(value_parser!(usize)),
        option(
            "accept-iou",
            "IOU",
            "Try further candidates only where the first one's predicted IoU is below this [default: try all on every slice]",
        )
        .value_parser(value_parser!(f64)),
        option(
            "intensity-weight",
            "WEIGHT",
            "Weight of the intensity model of the prompt slice, 0 to 4 [default: the model's own, else 0]",
        )
        .value_parser(value_parser!(f64)),
        option(
            "prior",
            "PRIOR",
            "Mask prior from the previous slice: none, previous or registered [default: the model's own]",
        ),
        option(
            "field-of-view",
            "PART",
            "What of a slice the network is shown: slice (all of it) or object (and its surroundings) [default: the model's own]",
        ),
        flag("include-prompt", "Let every candidate attend to the prompt slice"),
        option(
            "pointers",
            "RULE",
            "Object pointers: window (of attended slices) or sam2 (up to 16) [default: as --memory]",
        ),
    ]
}

pub(super) fn computing_args() -> Vec<Arg> {
    vec![
        option("window", "WINDOW", "Intensities: auto, soft, lung, bone, brain or WIDTH,LEVEL")
            .default_value("auto")
            .allow_hyphen_values(true),
        option("precision", "P", "auto, fp32 or bf16").default_value("auto"),
        option("device", "D", "auto, cpu or cuda[:n]").default_value("auto"),
        option("threads", "N", "CPU threads [default: one per core]").value_parser(value_parser!(u16).range(1..)),
        option("cache-mb", "MB", "Bound of the slice embeddings kept in memory")
            .default_value("1024")
            .value_parser(value_parser!(u32)),
        image_size(),
    ]
}

pub(super) fn computing(m: &ArgMatches) -> Result<Computing> {
    Ok(Computing {
        window: text(m, "window").unwrap_or("auto").parse()?,
        image_size: m.get_one("image-size").copied(),
        precision: text(m, "precision").unwrap_or("auto").parse()?,
        device: text(m, "device").unwrap_or("auto").parse()?,
        threads: m.get_one::<u16>("threads").map(|&n| usize::from(n)),
        cache_mb: m.get_one::<u32>("cache-mb").map_or(1024, |&n| n as usize),
    })
}

/// `None` for `auto`.
pub(super) fn axis(m: &ArgMatches) -> Result<Option<Axis>> {
    match text(m, "axis") {
        None | Some("auto") => Ok(None),
        Some("i") => Ok(Some(Axis::I)),
        Some("j") => Ok(Some(Axis::J)),
        Some("k") => Ok(Some(Axis::K)),
        Some(other) => Err(Error::invalid(format!("--axis `{other}`: expected auto, i, j or k"))),
    }
}

pub(super) fn direction(m: &ArgMatches) -> Result<Direction> {
    match text(m, "direction") {
        None | Some("both") => Ok(Direction::Both),
        Some("up") => Ok(Direction::Up),
        Some("down") => Ok(Direction::Down),
        Some(other) => Err(Error::invalid(format!("--direction `{other}`: expected both, up or down"))),
    }
}

pub(super) fn search(m: &ArgMatches) -> Result<SearchOptions> {
    let mut search = match text(m, "memory") {
        None | Some("promem") => SearchOptions::promem(),
        // The stop rule is the command line's own: it holds in both modes unless --no-stop is given.
        Some("sam2") => SearchOptions { stop_when_absent: true, ..SearchOptions::sam2() },
        Some(other) => return Err(Error::invalid(format!("--memory `{other}`: expected promem or sam2"))),
    };
    if let Some(list) = text(m, "windows") {
        search.windows = numbers(list, "--windows", &[])?;
    }
    if let Some(&beams) = m.get_one("beams") {
        search.beams = beams;
    }
    search.accept_iou = m.get_one("accept-iou").copied();
    if let Some(&weight) = m.get_one("intensity-weight") {
        search.intensity_weight = Some(weight);
    }
    if m.get_flag("include-prompt") {
        search.prompt = PromptMemory::Pinned;
    }
    match text(m, "pointers") {
        None => {}
        Some("window") => search.pointers = PointerRule::Window,
        Some("sam2") => search.pointers = PointerRule::Sam2,
        Some(other) => return Err(Error::invalid(format!("--pointers `{other}`: expected window or sam2"))),
    }
    if let Some(name) = text(m, "prior") {
        search.prior = Some(name.parse()?);
    }
    if let Some(name) = text(m, "field-of-view") {
        search.field_of_view = Some(name.parse()?);
    }
    search.presence_threshold = m.get_one("presence-threshold").copied();
    if m.get_flag("no-stop") {
        search.stop_when_absent = false;
    }
    search.validate()?;
    Ok(search)
}
