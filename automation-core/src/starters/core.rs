//! The starters that come with the program, one file each in this crate's `starters/` folder.

use crate::registry::StarterDef;

const FILES: [&str; 5] = [
    include_str!("../../starters/auto-incident.yaml"),
    include_str!("../../starters/flapping.yaml"),
    include_str!("../../starters/latency-threshold.yaml"),
    include_str!("../../starters/nightly-report.yaml"),
    include_str!("../../starters/page-oncall-sustained-degradation.yaml"),
];

/// The program's own starters, to be registered by the engine's plugin. A file that does not read is
/// logged and left out; a test reads them all.
pub fn core() -> Vec<StarterDef> {
    FILES
        .iter()
        .filter_map(|text| {
            StarterDef::from_yaml(text)
                .inspect_err(|error| tracing::error!(%error, "A starter automation does not read."))
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_12_every_file_reads() {
        assert_eq!(core().len(), FILES.len());
    }
}
