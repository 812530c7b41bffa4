//! Typed ids of the engine (design §3.7). UUIDv7, so they sort by creation.

plugin_api::typed_id! {
    /// A stored automation.
    pub struct AutomationId
}
plugin_api::typed_id! {
    /// One dispatch of one automation.
    pub struct RunId
}
plugin_api::typed_id! {
    /// A step row of a run.
    pub struct StepId
}
plugin_api::typed_id! {
    /// The durable fact that a run waits at one action path.
    pub struct LockId
}
plugin_api::typed_id! {
    /// An armed dwell (`for:`).
    pub struct DwellId
}
plugin_api::typed_id! {
    /// A recorded artifact.
    pub struct ArtifactId
}
