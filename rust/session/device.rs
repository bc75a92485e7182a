//! Where and how precisely to compute: the caller's wish, else what the machine is good at.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Precision;
use once_cell::sync::Lazy;
use std::str::FromStr;
use tch::{Cuda, Device};

/// `auto | cpu | cuda[:n]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
}

/// `auto | fp32 | bf16`
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionChoice {
    /// bf16 where the hardware multiplies it.
    Auto,
    /// Single precision.
    Fp32,
    /// bf16 in image encoder and memory attention.
    Bf16,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
                Some(n) => Ok(Self::Cuda(n)),
                None => Err(Error::invalid(format!("device `{text}`: expected auto, cpu, cuda or cuda:N"))),
            },
        }
    }
}

impl FromStr for PrecisionChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "fp32" => Ok(Self::Fp32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::invalid(format!("precision `{text}`: expected auto, fp32 or bf16"))),
        }
    }
}

/// The device to compute on; asking for a CUDA device that is not there is an error.
pub fn choose_device(choice: DeviceChoice) -> Result<Device> {
    let devices = || {
        super::cuda::load();
        Cuda::device_count().max(0) as usize
    };
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(if devices() > 0 { Device::Cuda(0) } else { Device::Cpu }),
        DeviceChoice::Cuda(n) => match devices() {
            found if n < found => Ok(Device::Cuda(n)),
            found => {
                Err(Error::new(ErrorKind::Compute, format!("device cuda:{n}: libtorch finds {found} CUDA devices")))
            }
        },
    }
}

/// Devices that can be computed on, as [`DeviceChoice`] names them.
pub fn devices() -> Vec<String> {
    super::cuda::load();
    let cuda = (0..Cuda::device_count().max(0)).map(|n| format!("cuda:{n}"));
    std::iter::once("cpu".to_string()).chain(cuda).collect()
}

/// The precision to compute in.
pub fn choose_precision(choice: PrecisionChoice, device: Device) -> Precision {
    match choice {
        PrecisionChoice::Fp32 => Precision::Fp32,
        PrecisionChoice::Bf16 => Precision::Bf16,
        PrecisionChoice::Auto if device.is_cuda() || *CPU_MULTIPLIES_BF16 => Precision::Bf16,
        PrecisionChoice::Auto => Precision::Fp32,
    }
}

/// Threads that libtorch uses within one operation; `None` leaves its default, one per core.
pub fn set_threads(threads: Option<usize>) {
    if let Some(n) = threads {
        tch::set_num_threads(n.max(1) as i32);
    }
}

/// Whether this CPU has bf16 products (AMX or AVX-512), as Linux lists its flags.
static CPU_MULTIPLIES_BF16: Lazy<bool> = Lazy::new(|| {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|line| line.split_whitespace().any(|flag| matches!(flag, "amx_bf16" | "avx512_bf16")))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_in_the_help() {
        assert_eq!("cuda:3".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(3));
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for bad in ["gpu", "cuda:", "cuda:-1", ""] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "`{bad}` was accepted");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        let error = choose_device(DeviceChoice::Cuda(99)).unwrap_err();
        assert!(error.to_string().starts_with("device cuda:99: libtorch finds"), "{error}");
    }
}
