//! The one TLS provider of the process.

/// Installs ring as rustls's provider; harmless when done before.
pub fn install() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
