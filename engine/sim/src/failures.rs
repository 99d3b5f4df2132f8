//! The loop over the N-th operation: it fails, once or for good, for N = 1, 2, and so on until a
//! run meets no failure any more. Nothing is confirmed after it, and the next start has all.

use crate::disk::{Failure, FailureKind};
use crate::schedule::{run, Plan};
use crate::simulation::Conditions;
use crate::violation::Violation;

/// Steps of the run whose operations fail one by one.
const STEPS: usize = 250;

/// What the loop over one seed came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Operations that were made to fail, times the ways in which.
    pub points: u64,
    /// Of them, those after which the process ended.
    pub ended: u64,
}

/// Fails each operation of a seed's run, in every way.
///
/// # Errors
/// The failure that broke a promise, and which.
pub fn fail_each(seed: u64) -> Result<Points, (Failure, Violation)> {
    let mut points = Points::default();
    for kind in FailureKind::ALL {
        for persistent in [false, true] {
            for at in 1.. {
                let failure = Failure { at, kind, persistent };
                let conditions =
                    Conditions { shards: 1, failure: Some(failure), ..Conditions::default() };
                let plan = Plan { steps: STEPS, crash_every: 0, damages: false };
                let outcome =
                    run(seed, plan, conditions).map_err(|violation| (failure, violation))?;
                if !outcome.has_failed {
                    break;
                }
                points.points += 1;
                points.ended += u64::from(outcome.tally.failures > 0);
            }
        }
    }
    Ok(points)
}
