//! Plots as SVG, drawn here: lines over time, with an axis that ends at a round number.

use crate::html::{El, Html, el, html, with};
use crate::samples::Series;
use base::Timestamp;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// How numbers of a plot are written.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Plain,
    Milliseconds,
    Bytes,
}

/// 1, 2 or 5 times a power of ten, at least `value`.
fn round_up(value: f64) -> f64 {
    if value.is_nan() || value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= value * 0.999).unwrap_or(value)
}

fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 || v == v.trunc() => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}").trim_end_matches('0').to_owned(),
    }
}

impl Unit {
    fn say(self, value: f64) -> String {
        match self {
            Unit::Plain if value >= 10_000.0 => format!("{}k", number(value / 1e3)),
            Unit::Plain => number(value),
            Unit::Milliseconds if value >= 1_000.0 => format!("{} s", number(value / 1e3)),
            Unit::Milliseconds => format!("{} ms", number(value)),
            Unit::Bytes => crate::layout::size(value as u64),
        }
    }
}

/// Classes of lines, in order; the style gives each a colour.
const LINES: [&str; 6] = ["line a", "line b", "line c", "line d", "line e", "line f"];
const KEYS: [&str; 6] = ["key a", "key b", "key c", "key d", "key e", "key f"];

fn path(series: &Series, top: f64) -> String {
    let (across, up) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let steps = (series.values.len().max(2) - 1) as f64;
    let mut out = String::new();
    let mut drawing = false;
    for (at, value) in series.values.iter().enumerate() {
        let Some(value) = value else {
            drawing = false;
            continue;
        };
        let x = LEFT + across * at as f64 / steps;
        let y = TOP + up * (1.0 - (value / top).clamp(0.0, 1.0));
        // A point alone is a short line, so that it can be seen.
        let alone = !drawing && !matches!(series.values.get(at + 1), Some(Some(_)));
        out.push_str(&format!("{}{x:.1} {y:.1}", if drawing { "L" } else { "M" }));
        if alone {
            out.push_str("h2");
        }
        drawing = true;
    }
    out
}

fn axis(top: f64, unit: Unit) -> Vec<(El, El)> {
    let up = HEIGHT - TOP - BOTTOM;
    [0.0, 0.5, 1.0]
        .iter()
        .map(|part| {
            let y = TOP + up * (1.0 - part);
            let line = el("line")
                .class("grid")
                .number("x1", LEFT)
                .number("x2", WIDTH - RIGHT)
                .number("y1", y)
                .number("y2", y);
            let text = el("text")
                .class("tick")
                .number("x", LEFT - 7.0)
                .number("y", y + 3.5)
                .attr("text-anchor", "end");
            (line, text.put(unit.say(top * part)))
        })
        .collect()
}

/// `16:35`.
fn clock(at: Timestamp) -> String {
    at.iso8601_secs().get(11..16).unwrap_or_default().to_owned()
}

/// A plot with its title, a key for each line, and its newest values.
pub fn plot(title: &'static str, times: &[Timestamp], series: &[Series], unit: Unit) -> Html {
    let known = || series.iter().flat_map(|one| one.values.iter().flatten());
    let top = round_up(known().fold(0.0, |max: f64, value| max.max(*value)));
    let ends =
        [times.first().zip(Some(("start", LEFT))), times.last().zip(Some(("end", WIDTH - RIGHT)))];
    let ends: Vec<El> = ends
        .into_iter()
        .flatten()
        .map(|(at, (anchor, x))| {
            el("text")
                .class("tick")
                .number("x", x)
                .number("y", HEIGHT - 7.0)
                .attr("text-anchor", anchor)
                .put(clock(*at))
        })
        .collect();
    let lines: Vec<El> = series
        .iter()
        .enumerate()
        .map(|(at, one)| el("path").class(LINES[at % LINES.len()]).attr("d", path(one, top)))
        .collect();
    let keys: Vec<El> = series
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let newest = one.values.iter().rev().flatten().next().map(|value| unit.say(*value));
            el("li").put((
                with("span", KEYS[at % KEYS.len()], ()),
                &one.name,
                " ",
                with("b", "newest", newest.unwrap_or_else(|| "–".to_owned())),
            ))
        })
        .collect();
    let none = (times.len() < 2).then(|| {
        with("text", "tick", "The first minute is being counted.")
            .number("x", WIDTH / 2.0)
            .number("y", HEIGHT / 2.0)
            .attr("text-anchor", "middle")
    });
    html(with(
        "figure",
        "plot",
        (
            el("figcaption").put(title),
            el("svg")
                .attr("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
                .attr("role", "img")
                .attr("aria-label", title)
                .put((axis(top, unit), ends, lines, none)),
            with("ul", "keys", keys),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let check = |value: f64, expected: f64| assert_eq!(round_up(value), expected, "{value}");
        check(0.0, 1.0);
        check(0.013, 0.02);
        check(7.0, 10.0);
        check(500.0, 500.0);
        check(f64::NAN, 1.0);
        assert_eq!(Unit::Milliseconds.say(1_500.0), "1.5 s");
        assert_eq!(Unit::Plain.say(20_000.0), "20k");
    }

    #[test]
    fn lines_break_where_nothing_is_known() {
        let series =
            Series { name: "<x>".into(), values: vec![Some(1.0), None, Some(0.0), Some(1.0)] };
        assert_eq!(path(&series, 1.0), "M52.0 10.0h2M358.7 146.0L512.0 10.0");
        let times = [1, 2, 3, 4].map(Timestamp::from_secs);
        let text = plot("Title", &times, &[series], Unit::Plain).into_string();
        assert!(text.contains("&lt;x&gt;") && !text.contains("style="));
        plot("Empty", &[], &[], Unit::Bytes);
    }
}
