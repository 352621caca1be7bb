//! The printed report.

/// The figures of one run, each with its target.
#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    missed: u32,
}

impl Report {
    /// Adds a figure and prints it immediately, because the whole run takes minutes.
    pub fn add(&mut self, what: &str, measured: &str, target: &str, met: bool) {
        let verdict = if met { "met" } else { "MISSED" };
        self.missed += u32::from(!met);
        let line = format!("{what:<44} {measured:<58} {target:<34} {verdict}");
        println!("{}", line.trim_end());
        self.lines.push(line);
    }

    /// Adds a figure without a target.
    pub fn note(&mut self, what: &str, measured: &str) {
        let line = format!("{what:<44} {measured}");
        println!("{line}");
        self.lines.push(line);
    }

    /// Prints the whole report again. Returns whether all targets were met.
    pub fn close(&self) -> bool {
        println!("\n{:<44} {:<58} target", "what", "measured");
        self.lines.iter().for_each(|line| println!("{line}"));
        println!("\n{} missed", self.missed);
        self.missed == 0
    }
}

/// The median of some measurements, so that a single disturbance of a shared machine has no effect.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
