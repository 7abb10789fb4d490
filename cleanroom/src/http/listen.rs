//! Accepting connections, and ending well.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

use super::app::App;
use super::router;

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// How long requests and queries may go on once the server is told to end.
const GRACE: Duration = Duration::from_secs(30);

/// Pause after a failed accept: the usual cause is too many open files, which only time mends.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT, then lets requests and queries end. What has not ended by then is cancelled, and
/// recorded as failed.
///
/// # Errors
/// Where the signals cannot be listened for.
pub(crate) async fn serve(listener: TcpListener, app: App) -> io::Result<()> {
    let connections = attend_until_told(listener, router(app.clone())).await?;
    tracing::info!(running = app.running().count(), "ending");
    let ended = async {
        connections.shutdown().await;
        app.running().all_ended().await;
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!(running = app.running().count(), "cancelling what has not ended");
        app.running().cancel_all();
        // The cancelled record their end in tasks of their own.
        let _ = tokio::time::timeout(Duration::from_secs(5), app.running().all_ended()).await;
    }
    Ok(())
}

/// As [`serve`], for what has nothing at work but its requests.
pub(crate) async fn serve_router(listener: TcpListener, service: Router) -> io::Result<()> {
    let connections = attend_until_told(listener, service).await?;
    // Whoever is still talking then is cut off.
    let _ = tokio::time::timeout(GRACE, connections.shutdown()).await;
    Ok(())
}

async fn attend_until_told(listener: TcpListener, service: Router) -> io::Result<GracefulShutdown> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let connections = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => attend(stream, &service, &connections),
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            _ = terminate.recv() => return Ok(connections),
            _ = interrupt.recv() => return Ok(connections),
        }
    }
}

fn attend(stream: TcpStream, service: &Router, connections: &GracefulShutdown) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEAD));
    let service = TowerToHyperService::new(service.clone());
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        // A connection that breaks is the client's matter.
        let _ = connection.await;
    });
}
