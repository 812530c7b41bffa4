//! Readiness probes (`plugins §14`).

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// Ready?
    pub ok: bool,
    /// Why not, or a remark; carries no secrets.
    pub message: Option<String>,
}

/// A check that `/readyz` runs, at most 1 s.
#[async_trait::async_trait]
pub trait Probe: Send + Sync + 'static {
    /// Looks.
    async fn check(&self) -> ProbeResult;
}

/// A named probe. The name is unique and begins with the plugin's id.
pub struct ProbeDef {
    /// `<plugin>.<what>`.
    pub name: String,
    /// A critical probe that is not ok makes `/readyz` answer 503.
    pub critical: bool,
    /// The check.
    pub probe: Box<dyn Probe>,
}
