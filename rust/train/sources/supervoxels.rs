//! Supervoxels of scans as objects: every scan has borders worth finding, with masks or without.
//!
//! In: scans. Out: blocks whose objects are connected pieces of similar intensity. Source: Felzenszwalb and Huttenlocher
//! 2004, in three dimensions; as targets: ScribblePrompt, 2024.

use super::files::{scans, ScanFiles};
use super::scans::{draw_block, is_pet, ScanBlock, LEVELS};
use super::VolumeSource;
use crate::error::{Error, Result};
use crate::train::phantom::field::blur;
use crate::train::phantom::shapes::log_uniform;
use crate::train::phantom::{Kind, LabelVolume, Object, AIR};
use crate::train::Rng;
use crate::volume;
use ndarray::Array3;
use rand::seq::IndexedRandom;
use rand::Rng as _;
use std::path::PathBuf;

/// What is preferred: the threshold k, for grey levels from 0 to 255, and the least size in voxels.
const SCALE: (f32, f32) = (100.0, 6000.0);
const LEAST_SIZE: (f32, f32) = (60.0, 800.0);
/// Width of the blur before, in pixels.
const BLUR: std::ops::Range<f32> = 0.6..1.4;
/// Supervoxels that are objects of a block, and their sizes: voxels, share of the block, slices.
const MOST_OBJECTS: usize = 80;
const LEAST_VOXELS: usize = 150;
const LARGEST: f64 = 0.3;
const LEAST_SLICES: usize = 3;
/// The share of its voxels that have only voxels of its own beside them in the plane: others are rims.
const LEAST_INSIDE: f64 = 0.55;
/// How often each voxel takes the piece that most of its surroundings in the plane are of: noise frays borders.
const SMOOTHED: usize = 2;
/// Darker supervoxels are air.
const DARKEST: f32 = 20.0;
/// How near to the edge of the scan a voxel may be, in pixels, and the share of a supervoxel that may be nearer: where a
/// scan is cut off there is no border.
const EDGE: usize = 3;
const MOST_AT_EDGE: f64 = 0.1;
/// Steps of edge weights between grey levels.
const STEPS: f32 = 16.0;
const MOST_STEPS: usize = 4096;

/// Scans of some folders, without PET, whose voxels are too coarse.
pub struct Supervoxels {
    files: Vec<ScanFiles>,
}

impl Supervoxels {
    pub fn open(folders: &[PathBuf]) -> Result<Self> {
        let files: Vec<ScanFiles> = scans(folders)?.into_iter().filter(|scan| !is_pet(scan)).collect();
        match files.is_empty() {
            false => Ok(Self { files }),
            true => Err(Error::invalid("data.sources, supervoxels: only PET in its folders, expected CT or MR")),
        }
    }
}

impl VolumeSource for Supervoxels {
    fn volume(&self, rng: &mut Rng) -> Result<LabelVolume> {
        let files = self.files.choose(rng).expect("no scan is refused");
        let image = volume::read_image(&files.image)?;
        let ScanBlock { block, grey, scanned, .. } = draw_block(files, &image, &[], rng);
        let width = rng.random_range(BLUR);
        // What is darker than black or brighter than white has no borders.
        let mut smooth = grey.values.mapv(|value| value.clamp(0.0, LEVELS));
        for mut plane in smooth.outer_iter_mut() {
            let blurred = blur(&plane.to_owned(), width);
            plane.assign(&blurred);
        }
        let least = log_uniform(rng, LEAST_SIZE.0, LEAST_SIZE.1) as u32;
        let mut pieces = segment(&smooth, log_uniform(rng, SCALE.0, SCALE.1), least);
        for _ in 0..SMOOTHED {
            pieces = majority(&pieces);
        }
        let mut stats = vec![Piece::default(); block.slices * block.side * block.side];
        for (((z, r, c), &piece), &value) in pieces.indexed_iter().zip(&smooth) {
            let beside = [(r.wrapping_sub(1), c), (r + 1, c), (r, c.wrapping_sub(1)), (r, c + 1)];
            let far = [(r.wrapping_sub(EDGE), c), (r + EDGE, c), (r, c.wrapping_sub(EDGE)), (r, c + EDGE)];
            let inside = beside.iter().all(|&(r, c)| pieces.get((z, r, c)) == Some(&piece));
            let scanned = far.iter().all(|&(r, c)| scanned.get((z, r, c)) != Some(&false));
            stats[piece as usize].add(z, value, inside, scanned);
        }
        let largest = (LARGEST * pieces.len() as f64) as usize;
        let fits: Vec<u32> = (0..stats.len() as u32).filter(|&n| stats[n as usize].is_object(largest)).collect();
        let mut table = vec![AIR; stats.len()];
        let mut objects = Vec::new();
        for (number, &piece) in (1..).zip(fits.choose_multiple(rng, MOST_OBJECTS)) {
            table[piece as usize] = number;
            objects.push(Object { kind: Kind::Region, labels: vec![number] });
        }
        let labels = pieces.mapv(|piece| table[piece as usize]);
        Ok(LabelVolume { labels, objects, alike: Vec::new(), grey: Some(grey) })
    }
}

#[derive(Clone, Default)]
struct Piece {
    count: usize,
    inside: usize,
    edge: usize,
    sum: f64,
    first: usize,
    last: usize,
}

impl Piece {
    /// Voxels come slice by slice.
    fn add(&mut self, slice: usize, value: f32, inside: bool, scanned: bool) {
        if self.count == 0 {
            self.first = slice;
        }
        self.last = slice;
        self.count += 1;
        self.inside += usize::from(inside);
        self.edge += usize::from(!scanned);
        self.sum += f64::from(value);
    }

    fn is_object(&self, largest: usize) -> bool {
        (LEAST_VOXELS..=largest).contains(&self.count)
            && self.inside as f64 >= LEAST_INSIDE * self.count as f64
            && self.edge as f64 <= MOST_AT_EDGE * self.count as f64
            && self.last - self.first + 1 >= LEAST_SLICES
            && (self.sum / self.count as f64) as f32 > DARKEST
    }
}

/// Connected pieces of similar intensity, each voxel with the number of one of its piece's voxels. `scale` prefers
/// larger ones; those of fewer than `least` voxels join a neighbour.
fn segment(values: &Array3<f32>, scale: f32, least: u32) -> Array3<u32> {
    let (d, h, w) = values.dim();
    let flat = values.as_slice().expect("a new array is contiguous");
    let strides = [h * w, w, 1];
    let edges = sorted_edges(flat, [d, h, w], strides);
    let mut forest = Forest::new(flat.len());
    let ends = |edge: u32| {
        let (at, axis) = (edge as usize / 3, edge as usize % 3);
        (at, at + strides[axis])
    };
    for &edge in &edges {
        let (a, b) = ends(edge);
        let (ra, rb) = (forest.root(a), forest.root(b));
        let weight = (flat[a] - flat[b]).abs();
        if ra != rb && weight <= forest.allowance(ra, scale).min(forest.allowance(rb, scale)) {
            forest.join(ra, rb, weight);
        }
    }
    for &edge in &edges {
        let (a, b) = ends(edge);
        let (ra, rb) = (forest.root(a), forest.root(b));
        if ra != rb && forest.size[ra].min(forest.size[rb]) < least {
            forest.join(ra, rb, 0.0);
        }
    }
    Array3::from_shape_vec((d, h, w), (0..flat.len()).map(|at| forest.root(at) as u32).collect())
        .expect("as many as the volume has")
}

/// Each voxel with the piece that most voxels of its 3 x 3 surroundings in the plane are of, its own at a tie.
fn majority(pieces: &Array3<u32>) -> Array3<u32> {
    Array3::from_shape_fn(pieces.dim(), |(z, r, c)| {
        let own = pieces[[z, r, c]];
        let mut around = [own; 9];
        for (n, piece) in around.iter_mut().enumerate() {
            let at = (z, (r + n / 3).wrapping_sub(1), (c + n % 3).wrapping_sub(1));
            *piece = pieces.get(at).copied().unwrap_or(own);
        }
        let count = |piece: u32| around.iter().filter(|&&other| other == piece).count();
        // Of nine, five are most whatever the others are.
        if count(own) >= 5 {
            return own;
        }
        around.into_iter().max_by_key(|&piece| (count(piece), piece == own, piece)).unwrap_or(own)
    })
}

/// Edges to the next voxel along each axis, number 3 * voxel + axis, by rising difference.
fn sorted_edges(flat: &[f32], dims: [usize; 3], strides: [usize; 3]) -> Vec<u32> {
    let step = |a: usize, b: usize| (((flat[a] - flat[b]).abs() * STEPS) as usize).min(MOST_STEPS - 1);
    let mut begins = vec![0usize; MOST_STEPS + 1];
    let each = |act: &mut dyn FnMut(usize, usize)| {
        for at in 0..flat.len() {
            let place = [at / strides[0], at / strides[1] % dims[1], at % dims[2]];
            for axis in 0..3 {
                if place[axis] + 1 < dims[axis] {
                    act(3 * at + axis, step(at, at + strides[axis]));
                }
            }
        }
    };
    each(&mut |_, step| begins[step + 1] += 1);
    for n in 0..MOST_STEPS {
        begins[n + 1] += begins[n];
    }
    let mut sorted = vec![0u32; begins[MOST_STEPS]];
    each(&mut |edge, step| {
        sorted[begins[step]] = edge as u32;
        begins[step] += 1;
    });
    sorted
}

/// Disjoint sets with what Felzenszwalb's rule needs.
struct Forest {
    parent: Vec<u32>,
    size: Vec<u32>,
    /// Largest weight inside.
    internal: Vec<f32>,
}

impl Forest {
    fn new(count: usize) -> Self {
        Self { parent: (0..count as u32).collect(), size: vec![1; count], internal: vec![0.0; count] }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] as usize != at {
            self.parent[at] = self.parent[self.parent[at] as usize];
            at = self.parent[at] as usize;
        }
        at
    }

    fn allowance(&self, root: usize, scale: f32) -> f32 {
        self.internal[root] + scale / self.size[root] as f32
    }

    fn join(&mut self, a: usize, b: usize, weight: f32) {
        let (large, small) = if self.size[a] >= self.size[b] { (a, b) } else { (b, a) };
        self.parent[small] = large as u32;
        self.size[large] += self.size[small];
        self.internal[large] = self.internal[large].max(self.internal[small]).max(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_one_intensity_are_pieces_and_specks_join_a_neighbour() {
        let mut values = Array3::from_shape_fn((4, 12, 12), |(_, r, c)| {
            if c < 6 {
                50.0
            } else if r < 6 {
                120.0
            } else {
                200.0
            }
        });
        values[[2, 3, 3]] = 250.0;
        let pieces = segment(&values, 300.0, 10);
        let at = |r: usize, c: usize| pieces[[1, r, c]];
        assert!(at(0, 0) != at(0, 8) && at(0, 8) != at(8, 8) && at(8, 8) != at(0, 0));
        for ((z, r, c), &piece) in pieces.indexed_iter() {
            let expected = at(if c < 6 { 0 } else { r / 6 * 6 }, if c < 6 { 0 } else { 6 });
            assert_eq!(piece, expected, "[{z}, {r}, {c}]");
        }
    }

    #[test]
    fn the_majority_drops_specks_and_threads_and_keeps_straight_borders() {
        let straight = Array3::from_shape_fn((2, 12, 12), |(_, _, c)| u32::from(c >= 6));
        let mut frayed = straight.clone();
        frayed[[0, 3, 2]] = 1; // a speck
        frayed.slice_mut(ndarray::s![1, 8, 2..5]).fill(1); // a thread
        assert_eq!(majority(&majority(&frayed)), straight);
        assert_eq!(majority(&straight), straight);
    }

    #[test]
    fn a_slope_is_one_piece_where_the_scale_is_large() {
        let slope = Array3::from_shape_fn((3, 8, 30), |(_, _, c)| c as f32 * 4.0);
        let count = |scale: f32| {
            let pieces = segment(&slope, scale, 1);
            let mut all: Vec<u32> = pieces.into_iter().collect();
            all.sort_unstable();
            all.dedup();
            all.len()
        };
        assert!(count(5000.0) == 1 && count(20.0) > 3, "{} and {}", count(5000.0), count(20.0));
    }
}
