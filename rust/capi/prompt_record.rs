//! A prompt as C programs read it.

/// What is said of an object on a slice.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct promem_prompt {
    /// The object, 1 to 65535.
    pub object: u32,
    /// How many points.
    pub points: u32,
    /// The slice.
    pub slice: i64,
    /// 1 where there is a box.
    pub has_box: u32,
    /// 1 where there is a mask.
    pub has_mask: u32,
}
