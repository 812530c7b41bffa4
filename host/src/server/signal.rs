//! Being told to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ends at SIGTERM or SIGINT; answers which.
pub async fn stop_signal() -> &'static str {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the signals end the process by themselves, which loses nothing.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}
