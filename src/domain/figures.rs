//! Figures for monitoring: counts by case, and how long things took. They are atomic, so that counting takes no lock.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use strum::VariantArray;

/// How often each case of an enum occurred since the start.
#[derive(Debug)]
pub struct Tally<K> {
    counts: Box<[AtomicU64]>,
    cases: PhantomData<fn() -> K>,
}

impl<K: VariantArray> Default for Tally<K> {
    fn default() -> Self {
        Self { counts: K::VARIANTS.iter().map(|_| AtomicU64::new(0)).collect(), cases: PhantomData }
    }
}

impl<K: VariantArray + Copy + PartialEq + Into<&'static str>> Tally<K> {
    /// Counts a case.
    pub fn count(&self, case: K) {
        let counts = K::VARIANTS.iter().zip(&self.counts);
        if let Some((_, count)) = counts.into_iter().find(|(known, _)| **known == case) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every case by its name, with its count.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        K::VARIANTS.iter().zip(&self.counts).map(|(case, count)| ((*case).into(), count.load(Ordering::Relaxed)))
    }
}

/// The upper bounds of the buckets of [`Durations`], in milliseconds. A last bucket has no bound.
const BOUNDS: [u64; 13] = [1, 3, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    nanos: AtomicU64,
}

/// The content of [`Durations`] at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The upper bound of each bucket in seconds, with the number of durations in it that are in no lower one. The last
    /// bound is [`f64::INFINITY`].
    pub buckets: Vec<(f64, u64)>,
    /// The number of durations.
    pub count: u64,
    /// The sum of the durations, in seconds.
    pub seconds: f64,
}

impl Durations {
    /// Adds a duration.
    pub fn note(&self, took: Duration) {
        let place = BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound));
        let bucket = place.and_then(|place| self.buckets.get(place)).unwrap_or(&self.longer);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the buckets, or `None` if there was nothing to measure yet.
    pub fn read(&self) -> Option<Histogram> {
        let bounds = BOUNDS.iter().map(|millis| Duration::from_millis(*millis).as_secs_f64()).chain([f64::INFINITY]);
        let counts = self.buckets.iter().chain([&self.longer]).map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        (count > 0).then_some(Histogram { buckets, count, seconds })
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoStaticStr;

    use super::*;

    #[derive(Clone, Copy, PartialEq, IntoStaticStr, VariantArray)]
    #[strum(serialize_all = "snake_case")]
    enum Fruit {
        RedApple,
        Pear,
    }

    #[test]
    fn a_tally_counts_each_case_apart() {
        let tally = Tally::default();
        for fruit in [Fruit::Pear, Fruit::RedApple, Fruit::Pear] {
            tally.count(fruit);
        }
        assert_eq!(tally.read().collect::<Vec<_>>(), [("red_apple", 1), ("pear", 2)]);
    }

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_fits() {
        let durations = Durations::default();
        assert_eq!(durations.read(), None);
        for millis in [1, 2, 3, 10_000, 10_001] {
            durations.note(Duration::from_millis(millis));
        }
        let Histogram { buckets, count, seconds } = durations.read().expect("durations");
        let filled: Vec<(f64, u64)> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 1), (0.003, 2), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((count, seconds), (5, 20.007));
    }
}
