//! What a volume of labels is: labels, the objects that they make up, and a scan's intensities where there is a scan.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// Label of what is outside the body.
pub const AIR: u8 = 0;

/// What an object is; training can hold kinds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A solid organ.
    Organ,
    /// Mirrored left and right.
    Pair,
    /// Several alike in a row.
    Row,
    /// One blob cut in two.
    Twin,
    /// Two organs of one tissue that touch.
    Neighbour,
    /// A wall around a core, the core, or both together.
    Shell,
    /// A lesion inside another object.
    Lesion,
    /// Tubes and branching trees.
    Tree,
    /// A thin curved layer.
    Sheet,
    /// Tissue without a shape of its own.
    Region,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 10] = [
        Kind::Organ,
        Kind::Pair,
        Kind::Row,
        Kind::Twin,
        Kind::Neighbour,
        Kind::Shell,
        Kind::Lesion,
        Kind::Tree,
        Kind::Sheet,
        Kind::Region,
    ];

    /// As configurations name it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// A label for it, from 1.
    pub fn label(self) -> u16 {
        1 + Self::ALL.iter().position(|&kind| kind == self).unwrap_or(0) as u16
    }

    /// How often it is a target, against others: there are many regions, and few users segment them.
    pub fn share(self) -> f64 {
        match self {
            Kind::Region => 0.25,
            Kind::Tree => 0.75,
            Kind::Sheet => 0.5,
            _ => 1.0,
        }
    }
}

/// One thing that can be segmented.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// It is the union of these labels.
    pub labels: Vec<u8>,
}

/// Labels [slices, rows, columns].
#[derive(Debug)]
pub struct LabelVolume {
    /// A label for each voxel.
    pub labels: Array3<u8>,
    /// What can be segmented.
    pub objects: Vec<Object>,
    /// Labels of one tissue: both of a pair, all of a row, neighbours, both halves of what was cut in two.
    pub alike: Vec<Vec<u8>>,
    /// What a scanner saw, where the volume is of a scan; else intensities are drawn.
    pub grey: Option<Grey>,
}

/// A scan's intensities on a grid of labels.
#[derive(Debug)]
pub struct Grey {
    /// Most of them are from 0 to 255, [slices, rows, columns].
    pub values: Array3<f32>,
    /// What is beyond the scan.
    pub outside: f32,
}
