//! What was measured of the log beside what the device did alone with as many octets, round by round: the device's mood
//! changes by the minute, so that only figures of the same round may be held against each other.

use std::time::Duration;

/// How a figure is said, and which way it is held against its floor.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// So many octets in that time: the log's part of what the device does.
    Octets,
    /// How many times as long as the device takes.
    Time,
}

/// See the module.
pub(crate) struct Beside {
    name: String,
    figure: Figure,
    /// Rounds still to come that are for making the files.
    unmeasured: u32,
    /// Octets of a round, the log's time and the device's.
    rounds: Vec<(u64, Duration, Duration)>,
}

impl Beside {
    pub(crate) fn new(name: impl Into<String>, figure: Figure) -> Beside {
        Beside { name: name.into(), figure, unmeasured: 0, rounds: Vec::new() }
    }

    /// The first round makes the files and does not count.
    pub(crate) fn without_first(self) -> Beside {
        Beside { unmeasured: 1, ..self }
    }

    /// False: this round does not count.
    pub(crate) fn note(&mut self, octets: u64, log: Duration, floor: Duration) -> bool {
        if self.unmeasured > 0 {
            self.unmeasured -= 1;
            return false;
        }
        self.rounds.push((octets, log, floor));
        true
    }

    /// Says medians, and between what the ratio of the rounds lay. `more`: what else there is to say.
    pub(crate) fn tell(&self, more: &str) {
        if self.rounds.is_empty() {
            return;
        }
        let ratio = |&(_, log, floor): &(u64, Duration, Duration)| match self.figure {
            Figure::Octets => floor.as_secs_f64() / log.as_secs_f64(),
            Figure::Time => log.as_secs_f64() / floor.as_secs_f64(),
        };
        let ratios = sorted(self.rounds.iter().map(ratio));
        let log = self.median(|&(octets, log, _)| (octets, log));
        let floor = self.median(|&(octets, _, floor)| (octets, floor));
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        println!(
            "    beside its floor: {}: log {}, floor {}, ratio {:.2} ({least:.2} to {most:.2} in {} rounds){more}",
            self.name,
            self.say(log),
            self.say(floor),
            middle(&ratios),
            ratios.len(),
        );
    }

    /// Octets a second, or seconds.
    fn median(&self, of: impl Fn(&(u64, Duration, Duration)) -> (u64, Duration)) -> f64 {
        let figures = self.rounds.iter().map(|round| {
            let (octets, time) = of(round);
            match self.figure {
                Figure::Octets => octets as f64 / time.as_secs_f64(),
                Figure::Time => time.as_secs_f64(),
            }
        });
        middle(&sorted(figures))
    }

    fn say(&self, figure: f64) -> String {
        match self.figure {
            Figure::Octets => format!("{:.0} MB/s", figure / 1e6),
            Figure::Time if figure < 0.01 => format!("{:.0} us", figure * 1e6),
            Figure::Time => format!("{:.0} ms", figure * 1e3),
        }
    }
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

pub(crate) fn middle(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
