//! Plots as SVG, written by hand: latency by percentile, and throughput over time. Pure.

use std::fmt::Write;

use crate::latency::CurvePoint;
use crate::load::outcome::{LoadOutcome, Sample};
use crate::report::text;

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 360.0;
const LEFT: f64 = 90.0;
// Half the width of the last label of the axis.
const RIGHT: f64 = 45.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 3] = ["#1f6fb4", "#c8501e", "#3a8c3f"];

/// One line of a panel: its name and points in data coordinates, both within 0 to 1.
struct Series {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// A tick: where (0 to 1) and what it says.
type Tick = (f64, String);

/// Both panels of a run.
pub(crate) fn plot(outcome: &LoadOutcome, title: &str) -> String {
    let mut panels = Vec::new();
    let curves: Vec<(&'static str, &[CurvePoint])> =
        [("end-to-end", &outcome.end_to_end), ("confirm", &outcome.confirm)]
            .into_iter()
            .filter_map(|(name, summary)| Some((name, summary.as_ref()?.curve.as_slice())))
            .collect();
    if !curves.is_empty() {
        panels.push(latency_panel(&curves));
    }
    if outcome.samples.len() > 2 {
        panels.push(throughput_panel(&outcome.samples));
    }
    let height = PANEL_HEIGHT * panels.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"16\">{}</text>\n",
        escape(title)
    );
    for (number, panel) in panels.iter().enumerate() {
        let offset = 30.0 + PANEL_HEIGHT * number as f64;
        let _ = writeln!(svg, "<g transform=\"translate(0 {offset})\">\n{panel}</g>");
    }
    svg + "</svg>\n"
}

/// Latency on a logarithmic scale over "one message in so many is slower", logarithmic too.
fn latency_panel(curves: &[(&'static str, &[CurvePoint])]) -> String {
    let odds = |percentile: f64| (1.0 / (1.0 - percentile / 100.0).max(1e-9)).log10();
    let points = || curves.iter().flat_map(|(_, points)| points.iter());
    let widest = points().map(|point| odds(point.percentile)).fold(1.0, f64::max);
    let us = |point: &CurvePoint| point.latency_us.max(1.0).log10();
    let lowest = points().map(us).fold(f64::MAX, f64::min).floor();
    let highest = points().map(us).fold(lowest + 1.0, f64::max).ceil();
    let series: Vec<Series> = curves
        .iter()
        .map(|(name, points)| Series {
            name,
            points: points
                .iter()
                .map(|point| {
                    let y = (us(point) - lowest) / (highest - lowest);
                    (odds(point.percentile) / widest, y)
                })
                .collect(),
        })
        .collect();
    let percentile_ticks: Vec<Tick> = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999]
        .into_iter()
        .filter(|percentile| odds(*percentile) <= widest)
        .map(|percentile| (odds(percentile) / widest, format!("{percentile} %")))
        .collect();
    let latency_ticks: Vec<Tick> = (0..=(highest - lowest) as i32)
        .map(|step| {
            let us = 10f64.powf(lowest + f64::from(step));
            (f64::from(step) / (highest - lowest), text::duration_us(us))
        })
        .collect();
    panel("Latency by percentile", &series, &percentile_ticks, &latency_ticks)
}

fn throughput_panel(samples: &[Sample]) -> String {
    let last_s = samples.last().map_or(1.0, |sample| sample.at_s).max(0.001);
    type Read = fn(&Sample) -> u64;
    let reads: [(&'static str, Read); 3] = [
        ("published", |sample| sample.published),
        ("consumed", |sample| sample.consumed),
        ("confirmed", |sample| sample.confirmed),
    ];
    let rates = |read: Read| -> Vec<(f64, f64)> {
        let pairs = samples.windows(2).filter(|pair| pair[1].at_s - pair[0].at_s > 0.05);
        pairs
            .map(|pair| {
                let rate = (read(&pair[1]) - read(&pair[0])) as f64 / (pair[1].at_s - pair[0].at_s);
                ((pair[0].at_s + pair[1].at_s) / 2.0, rate)
            })
            .collect()
    };
    let lines: Vec<(&'static str, Vec<(f64, f64)>)> = reads
        .into_iter()
        .filter(|(_, read)| samples.last().is_some_and(|sample| read(sample) > 0))
        .map(|(name, read)| (name, rates(read)))
        .collect();
    let top = lines.iter().flat_map(|(_, points)| points).map(|point| point.1).fold(1.0, f64::max);
    let step = round_step(top / 5.0);
    let top = (top / step).ceil() * step;
    let scale = |(x, y): &(f64, f64)| (x / last_s, y / top);
    let series: Vec<Series> = lines
        .iter()
        .map(|(name, points)| Series { name, points: points.iter().map(scale).collect() })
        .collect();
    let time_step = round_step(last_s / 8.0);
    let time_ticks: Vec<Tick> = (0..=(last_s / time_step) as u32)
        .map(|tick| {
            let at_s = f64::from(tick) * time_step;
            (at_s / last_s, format!("{} s", (at_s * 100.0).round() / 100.0))
        })
        .collect();
    let rate_ticks: Vec<Tick> = (0..=(top / step).round() as u32)
        .map(|tick| {
            let rate = f64::from(tick) * step;
            (rate / top, text::count(rate as u64))
        })
        .collect();
    panel("Messages per second", &series, &time_ticks, &rate_ticks)
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least)
        .unwrap_or(power * 10.0)
}

fn panel(title: &str, series: &[Series], x_ticks: &[Tick], y_ticks: &[Tick]) -> String {
    let x = |value: f64| LEFT + value * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| PANEL_HEIGHT - BOTTOM - value * (PANEL_HEIGHT - TOP - BOTTOM);
    let mut svg = format!("<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{title}</text>\n");
    let (top, bottom, left, right) = (y(1.0), y(0.0), x(0.0), x(1.0));
    for (at, label) in x_ticks {
        let at = x(*at);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        );
    }
    for (at, label) in y_ticks {
        let at = y(*at);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 8.0,
            at + 4.0
        );
    }
    for (number, line) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<String> =
            line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let legend_x = right - 110.0 * (series.len() - number) as f64;
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\
             <text x=\"{legend_x}\" y=\"20\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            line.name
        );
    }
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_numbers() {
        assert_eq!(round_step(0.13), 0.2);
        assert_eq!(round_step(3.0), 5.0);
        assert_eq!(round_step(78_000.0), 100_000.0);
    }

    #[test]
    fn points_lie_inside_the_panel() {
        let samples: Vec<Sample> = (0..20u64)
            .map(|step| Sample {
                at_s: step as f64 * 0.2,
                published: step * step * 1000,
                confirmed: 0,
                consumed: step * 900,
            })
            .collect();
        let svg = throughput_panel(&samples);
        assert_eq!(svg.matches("<polyline").count(), 2, "confirmed has nothing to show");
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x.parse().unwrap()));
            assert!((TOP..=PANEL_HEIGHT - BOTTOM).contains(&y.parse().unwrap()));
        }
    }
}
