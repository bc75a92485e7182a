//! Elementary functions of eight floats at once, to the precision of fp32.

use std::arch::x86_64::*;

/// Smaller exponents are clamped: 2^-125 = 2e-38, practically zero and still a normal number.
const MIN_EXPONENT: f32 = -125.0;

/// 2^x, for x up to 127. Coefficients: Cephes' `exp2f`, relative error 2e-7.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn exp2(x: __m256) -> __m256 {
    const POLYNOMIAL: [f32; 7] =
        [1.535_336_2e-4, 1.339_887_4e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_8e-1, 6.931_472e-1, 1.0];
    let x = _mm256_max_ps(_mm256_set1_ps(MIN_EXPONENT), x); // `max` returns its second operand where one is NaN
    let whole = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
    let part = _mm256_sub_ps(x, whole);
    let mut y = _mm256_set1_ps(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        y = _mm256_fmadd_ps(y, part, _mm256_set1_ps(*coefficient));
    }
    let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(whole));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), exponent))
}

/// x Phi(x), the exact GELU. The error function is Abramowitz and Stegun's 7.1.26, as libtorch's: absolute error
/// 1.5e-7.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn gelu(x: __m256) -> __m256 {
    const P: f32 = 0.327_591_1;
    const POLYNOMIAL: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6];
    let one = _mm256_set1_ps(1.0);
    let sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0));
    let z = _mm256_mul_ps(x, _mm256_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
    let size = _mm256_andnot_ps(_mm256_set1_ps(-0.0), z);
    let t = _mm256_div_ps(one, _mm256_fmadd_ps(size, _mm256_set1_ps(P), one));
    let mut y = _mm256_set1_ps(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        y = _mm256_fmadd_ps(y, t, _mm256_set1_ps(*coefficient));
    }
    let square = _mm256_mul_ps(z, z);
    // SAFETY: the caller guarantees AVX2 and FMA.
    let bell = unsafe { exp2(_mm256_mul_ps(square, _mm256_set1_ps(-std::f32::consts::LOG2_E))) };
    let erf = _mm256_or_ps(_mm256_fnmadd_ps(_mm256_mul_ps(y, t), bell, one), sign);
    let half = _mm256_mul_ps(x, _mm256_set1_ps(0.5));
    _mm256_fmadd_ps(half, erf, half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cpu::processor::is_supported;
    use tch::{Kind, Tensor};

    fn eight(x: &[f32], f: unsafe fn(__m256) -> __m256) -> Vec<f32> {
        let mut found = vec![0.0f32; x.len()];
        for (x, found) in x.chunks_exact(8).zip(found.chunks_exact_mut(8)) {
            // SAFETY: both slices have eight floats; the test below has asked for AVX2 and FMA.
            unsafe { _mm256_storeu_ps(found.as_mut_ptr(), f(_mm256_loadu_ps(x.as_ptr()))) };
        }
        found
    }

    #[test]
    fn vectorised_functions_equal_the_scalar_ones() {
        if !is_supported() {
            eprintln!("skipped: this processor has no AVX2 and FMA");
            return;
        }
        let x: Vec<f32> = (0..8000).map(|n| (n as f32 - 4000.0) / 100.0).collect();
        for (x, found) in x.iter().zip(eight(&x, exp2)) {
            assert!((found / x.exp2() - 1.0).abs() < 4e-7, "2^{x}: {found}");
        }
        let expected = Tensor::from_slice(&x).to_kind(Kind::Double).gelu("none");
        let found = Tensor::from_slice(&eight(&x, gelu)).to_kind(Kind::Double);
        let bound = Tensor::from_slice(&x).to_kind(Kind::Double).abs() * 2e-7 + 1e-7;
        assert_eq!(i64::try_from((found - expected).abs().gt_tensor(&bound).sum(Kind::Int64)).unwrap(), 0);
        let far: Vec<f32> = vec![-200.0, -1e30, f32::NEG_INFINITY, -125.0, 0.0, 1.0, 127.0, f32::NAN];
        let found = eight(&far, exp2);
        assert!(found[..4].iter().all(|&y| (0.0..1e-37).contains(&y)), "{found:?}");
        assert!(found[4..7] == [1.0, 2.0, 2f32.powi(127)] && found[7].is_nan(), "{found:?}");
    }
}
