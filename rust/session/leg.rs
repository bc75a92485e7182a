//! The stretches that runs walk: from each prompted slice to where the next one's begin.

use crate::geometry::SliceIndex;
use crate::prompt::ObjectId;

/// Which run: of which object, from which prompted slice, which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LegKey {
    pub object: ObjectId,
    pub prompt_slice: SliceIndex,
    pub upwards: bool,
}

/// The slices between one prompted slice and where its run must end.
#[derive(Debug, Clone, Copy)]
pub struct Leg {
    pub key: LegKey,
    /// Slices from..to, whichever way they are walked.
    pub from: usize,
    pub to: usize,
    /// Whether it may go beyond what is known already.
    pub walks: bool,
}

impl Leg {
    /// The two legs of every prompted slice of an object, within `first..=last`.
    pub fn of(object: ObjectId, prompted: &[SliceIndex], [first, last]: [SliceIndex; 2]) -> Vec<Leg> {
        let mut legs = Vec::new();
        for (n, &prompt_slice) in prompted.iter().enumerate() {
            let leg = |upwards, from: usize, to: usize| Leg {
                key: LegKey { object, prompt_slice, upwards },
                from,
                to,
                walks: true,
            };
            let end = prompted.get(n + 1).map_or(last.0 + 1, |next| next.0);
            let begin = n.checked_sub(1).map_or(first.0, |before| prompted[before].0 + 1);
            legs.push(leg(true, prompt_slice.0 + 1, end));
            legs.push(leg(false, begin, prompt_slice.0));
        }
        legs
    }

    pub fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }

    pub fn covers(&self, slice: SliceIndex) -> bool {
        (self.from..self.to).contains(&slice.0)
    }

    /// How many slices of the leg lie before this one.
    pub fn position(&self, slice: SliceIndex) -> usize {
        slice.distance(self.key.prompt_slice) - 1
    }

    /// The slice that is walked before.
    pub fn before(&self, slice: SliceIndex) -> SliceIndex {
        SliceIndex(if self.key.upwards { slice.0 - 1 } else { slice.0 + 1 })
    }

    pub fn left_after(&self, slice: SliceIndex) -> usize {
        if self.key.upwards {
            self.to - slice.0 - 1
        } else {
            slice.0 - self.from
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_meet_between_two_prompts_and_end_before_them() {
        let legs = Leg::of(ObjectId::new(1).unwrap(), &[SliceIndex(3), SliceIndex(7)], [0, 9].map(SliceIndex));
        let found: Vec<_> = legs.iter().map(|l| (l.key.prompt_slice.0, l.key.upwards, l.from, l.to)).collect();
        assert_eq!(found, [(3, true, 4, 7), (3, false, 0, 3), (7, true, 8, 10), (7, false, 4, 7)]);
        assert_eq!((legs[3].position(SliceIndex(6)), legs[3].position(SliceIndex(4))), (0, 2));
        assert_eq!((legs[3].left_after(SliceIndex(6)), legs[3].before(SliceIndex(6))), (2, SliceIndex(7)));
    }
}
