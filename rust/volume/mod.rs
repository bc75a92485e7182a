//! Scans and label maps: voxels and their place in the patient, never apart.
//!
//! In: files. Out: volumes, and label maps back into files. A volume that is read is finite, three-dimensional and has an
//! invertible map to patient space; everything else is refused with a reason.
//!
//! ```
//! use promem::geometry::{Dims, Geometry, IjkToRas, Spacing};
//! use promem::volume::{self, LabelMap, Overwrite, Volume};
//!
//! let folder = tempfile::tempdir().expect("there is a folder for temporary files");
//! let (scan_path, label_path) = (folder.path().join("scan.nii.gz"), folder.path().join("labels.nrrd"));
//! let geometry = Geometry { dims: Dims([4, 3, 2]), ijk_to_ras: IjkToRas::from_spacing(Spacing([0.8, 0.8, 2.5])) };
//! let voxels = ndarray::Array3::from_shape_fn((2, 3, 4), |(k, j, i)| (100 * k + 10 * j + i) as f32);
//! let scan = Volume::new(geometry, voxels)?;
//! volume::write_image(&scan_path, &scan, Overwrite::Refuse)?;
//!
//! let read = volume::read_image(&scan_path)?;
//! assert_eq!(read.voxels(), scan.voxels());
//! read.geometry().check_same_grid(scan.geometry())?;
//!
//! let mut labels = LabelMap::empty_like(&read);
//! labels.voxels_mut()[[1, 2, 3]] = 5; // [k, j, i]
//! volume::write_labels(&label_path, &labels, Overwrite::Refuse, &[])?;
//! assert_eq!(volume::read_labels(&label_path)?.voxels(), labels.voxels());
//! # Ok::<(), promem::Error>(())
//! ```

mod data_files;
pub mod dicom;
mod encoding;
mod lattice;
mod metaimage;
mod mgh;
pub mod nifti;
mod nifti_write;
pub mod nrrd;
mod nrrd_write;
pub mod raw;
mod read;
mod scan;
mod segmentation;
mod voxels;
mod write;

pub use crate::output::Overwrite;
pub use encoding::Scalar;
pub use lattice::{place, MaskGrid, Placed};
pub use read::{input_files, is_scan, read_channel, read_first, read_image, read_labels, read_scan, read_segmentation};
pub use scan::{Facts, ReadOptions, Scan, SeriesInfo, Uneven};
pub use segmentation::Segmentation;
pub use voxels::{LabelMap, NiftiForms, ResultInfo, Segment, SourceSlice, Volume};
pub use write::{check_format, check_output, outputs, write_image, write_labels, write_result};
