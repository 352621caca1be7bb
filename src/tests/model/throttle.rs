//! The rules of failed logins, told once more.

use std::time::Duration;

use super::{
    rules::{Model, Numbers},
    step::{By, Person},
};

#[derive(Clone, Copy, Default)]
pub struct Failures {
    count: u32,
    delay: Duration,
    last: Duration,
}

/// Whose failures are counted: an account's, or those of a name that is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    Account(usize),
    Ghost(By, Person),
}

impl Model {
    /// Counts an attempt as failed, unless there is a wait, which is returned.
    pub fn count(&mut self, counted: Counted) -> Duration {
        let Numbers { free_failures, first_delay, longest_delay, memory, .. } = self.numbers;
        let failures = self.failures.entry(counted).or_default();
        let wait = (failures.last + failures.delay).saturating_sub(self.now);
        if wait.is_zero() {
            let count = if failures.last + memory < self.now { 1 } else { failures.count + 1 };
            let over = count.checked_sub(free_failures);
            let delay = over.map_or(Duration::ZERO, |n| longest_delay.min(first_delay * 2_u32.pow(n.min(20))));
            *failures = Failures { count, delay, last: self.now };
        }
        wait
    }
}
