//! What is read from the Dice of an object's steps.
//!
//! In: steps. Out: single numbers. The Dice that counts is that of the prompt slice for clicks, of the volume for
//! corrections.

use super::Step;

/// Dice values that users may want.
pub const WANTED: [f64; 3] = [0.80, 0.85, 0.90];

/// Which Dice of a step.
pub type Of = fn(&Step) -> Option<f64>;

/// The Dice that the user looks at.
pub fn looked_at(step: &Step) -> Option<f64> {
    step.slice_dice.or(step.volume_dice)
}

/// Area under the curve of Dice over steps by the trapezoidal rule, as a share of that of a perfect result: 1 is best.
/// A single step is its own area. `None` unless each step has a value.
pub fn area(steps: &[Step], of: Of) -> Option<f64> {
    let values: Option<Vec<f64>> = steps.iter().map(of).collect();
    let values = values.filter(|values| !values.is_empty())?;
    let pairs = values.len() - 1;
    match pairs {
        0 => Some(values[0]),
        _ => Some(values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum::<f64>() / pairs as f64),
    }
}

/// The number of the first step whose Dice is at least `wanted`; `None` where none is.
pub fn steps_to(steps: &[Step], of: Of, wanted: f64) -> Option<usize> {
    steps.iter().find(|step| of(step).is_some_and(|dice| dice >= wanted)).map(|step| step.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(values: &[f64]) -> Vec<Step> {
        let step = |(n, &dice): (usize, &f64)| Step {
            number: n + 1,
            slice: Some(4),
            slice_dice: Some(dice),
            volume_dice: None,
            unprompted_dice: None,
            seconds: None,
        };
        values.iter().enumerate().map(step).collect()
    }

    #[test]
    fn area_is_the_mean_height_of_the_curve() {
        assert_eq!(area(&steps(&[0.0, 1.0, 1.0]), looked_at), Some(0.75));
        assert_eq!(area(&steps(&[0.6]), looked_at), Some(0.6));
        assert_eq!(area(&steps(&[]), looked_at), None);
        assert_eq!(area(&steps(&[0.6]), |step| step.volume_dice), None);
    }

    #[test]
    fn steps_are_counted_to_the_first_that_is_good_enough() {
        let found = steps(&[0.5, 0.85, 0.7, 0.9]);
        assert_eq!(WANTED.map(|wanted| steps_to(&found, looked_at, wanted)), [Some(2), Some(2), Some(4)]);
        assert_eq!(steps_to(&found, looked_at, 0.95), None);
    }
}
