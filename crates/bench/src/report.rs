//! Figures, their medians, and what is asked of them.

use std::collections::BTreeMap;

/// One figure of one contestant in one round.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<(&'static str, &'static str), Vec<f64>>);

impl Samples {
    pub fn add(&mut self, contestant: &'static str, what: &'static str, value: f64) {
        self.0.entry((contestant, what)).or_default().push(value);
    }

    pub fn median(&self, contestant: &'static str, what: &'static str) -> Option<f64> {
        self.0.get(&(contestant, what)).map(|values| median(values))
    }
}

/// The middle value; the mean of the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

/// A table of one measure, and what it says about the targets.
#[derive(Debug, Default)]
pub struct Table {
    pub title: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    pub verdicts: Vec<Verdict>,
    pub remarks: Vec<String>,
}

/// Something asked of Cumulet.
#[derive(Debug)]
pub struct Verdict {
    pub text: String,
    pub kept: bool,
}

impl Verdict {
    pub fn at_most(what: &str, seen: f64, bound: f64, unit: &str) -> Verdict {
        let text = format!("{what}: {seen:.1} {unit}, at most {bound:.1} {unit} asked");
        Verdict { text, kept: seen <= bound }
    }

    pub fn at_least(what: &str, seen: f64, bound: f64) -> Verdict {
        let text = format!("{what}: {seen:.2}, at least {bound:.2} asked");
        Verdict { text, kept: seen >= bound }
    }
}

impl Table {
    /// As Markdown, which is also what the terminal shows.
    pub fn text(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = format!("### {}\n\n", self.title);
        let columns: Vec<String> = self.columns.iter().map(|c| (*c).to_owned()).collect();
        push_row(&mut text, &columns, &widths);
        let rules: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(at, width)| match at {
                0 => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            })
            .collect();
        push_row(&mut text, &rules, &widths);
        for row in &self.rows {
            push_row(&mut text, row, &widths);
        }
        text.push('\n');
        for verdict in &self.verdicts {
            let mark = if verdict.kept { "kept" } else { "**missed**" };
            text.push_str(&format!("- {mark}: {}\n", verdict.text));
        }
        for remark in &self.remarks {
            text.push_str(&format!("- {remark}\n"));
        }
        text
    }
}

fn push_row(text: &mut String, cells: &[String], widths: &[usize]) {
    text.push('|');
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let room = " ".repeat(width.saturating_sub(cell.chars().count()));
        // Names stand left, figures right.
        match at {
            0 => text.push_str(&format!(" {cell}{room} |")),
            _ => text.push_str(&format!(" {room}{cell} |")),
        }
    }
    text.push('\n');
}

/// A figure with the digits that mean something.
pub fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if !value.is_finite() => "-".to_owned(),
        Some(value) if value >= 1000.0 => thousands(value),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn figures() {
        let check = |value, expected: &str| assert_eq!(figure(value), expected);
        check(None, "-");
        check(Some(5.94), "5.9");
        check(Some(123.4), "123");
        check(Some(39_500.2), "39,500");
        check(Some(1_234_567.0), "1,234,567");
    }

    #[test]
    fn a_table_is_markdown() {
        let table = Table {
            title: "T".to_owned(),
            columns: vec!["who", "n"],
            rows: vec![vec!["cumulet".to_owned(), "12".to_owned()]],
            verdicts: vec![Verdict::at_most("cpu", 3.0, 2.0, "us")],
            remarks: Vec::new(),
        };
        let expected = "### T\n\n| who     |  n |\n| ------- | -: |\n| cumulet | 12 |\n\n\
                        - **missed**: cpu: 3.0 us, at most 2.0 us asked\n";
        assert_eq!(table.text(), expected);
    }
}
