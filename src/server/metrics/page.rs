//! Metrics of one kind with the same labels, as one block of the text.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
};

use crate::domain::figures::Histogram;

/// The labels of a row, by their names.
pub type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// The text that a scrape gets.
pub struct Page<'a>(pub DescriptorEncoder<'a>);

impl Page<'_> {
    /// Counters. Their names get the suffix `_total`.
    pub fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let mut block = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        rows.into_iter().try_for_each(|(labels, value)| {
            block.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.counters::<0, _>(name, help, [([], value)])
    }

    /// Gauges.
    pub fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let mut block = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.into_iter().try_for_each(|(labels, value)| block.encode_family(&labels)?.encode_gauge(&value))
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges::<0, _>(name, help, [([], value)])
    }

    /// Histograms.
    pub fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l, N>, Histogram)>,
    ) -> fmt::Result {
        let mut block = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        rows.into_iter().try_for_each(|(labels, Histogram { buckets, count, seconds })| {
            block.encode_family(&labels)?.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
        })
    }
}
