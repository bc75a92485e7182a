use crate::error::Result;
use tch::nn::VarStore;
pub struct StateDict;
pub fn load_strict(_: &mut VarStore, _: StateDict) -> Result<()> { Ok(()) }
pub fn fill_pseudo_random(_: &mut VarStore) {}
