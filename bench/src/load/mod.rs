//! A run of producers and consumers against one broker: plan, entities, worker threads, laps, outcome.
//!
//! The main thread declares, connects, starts the workers, tells them by atomics when a lap begins and ends,
//! samples their gauges, and audits what they hand back. Nothing is shared per message.

pub(crate) mod control;
pub(crate) mod layout;
pub(crate) mod outcome;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod run;
pub(crate) mod worker;
