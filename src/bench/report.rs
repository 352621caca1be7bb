//! What is printed.

/// The figures of one run, each with what is wanted of it.
#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    missed: u32,
}

impl Report {
    /// Adds a figure and prints it at once: the whole takes minutes.
    pub fn add(&mut self, what: &str, measured: &str, wanted: &str, holds: bool) {
        let verdict = if holds { "holds" } else { "MISSED" };
        self.missed += u32::from(!holds);
        let line = format!("{what:<44} {measured:<58} {wanted:<34} {verdict}");
        println!("{}", line.trim_end());
        self.lines.push(line);
    }

    /// Adds a figure of which nothing is wanted.
    pub fn note(&mut self, what: &str, measured: &str) {
        let line = format!("{what:<44} {measured}");
        println!("{line}");
        self.lines.push(line);
    }

    /// Prints everything once more, together. Whether all held.
    pub fn close(&self) -> bool {
        println!("\n{:<44} {:<58} wanted", "what", "measured");
        self.lines.iter().for_each(|line| println!("{line}"));
        println!("\n{} missed", self.missed);
        self.missed == 0
    }
}

/// The middle of some measurements, so that one disturbance of a shared machine doesn't count.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
