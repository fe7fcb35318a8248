//! The HTTP routes. They read; nothing here changes the system.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::metrics;
use super::status::{Status, StatusSource, VirtualDatabaseStatus};

type Source = Arc<dyn StatusSource>;

/// The routes of the module's table, over one source.
pub fn router(source: Arc<dyn StatusSource>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/metrics", get(metrics_page))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(source)
}

/// Answers on `listener` until `shutdown` completes and the requests in progress are answered.
///
/// # Errors
/// The listener broke.
///
/// # Cancel safety
/// Dropping the future closes the listener; requests in progress go on in tasks of their own.
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn StatusSource>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(source)).with_graceful_shutdown(shutdown).await
}

async fn status(State(source): State<Source>) -> Json<Status> {
    Json(source.status())
}

async fn metrics_page(State(source): State<Source>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&source.status())).into_response()
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(source): State<Source>) -> Response {
    let status = source.status();
    let waiting: Vec<&str> = status
        .virtual_databases
        .iter()
        .filter(|database| !database.is_ready())
        .map(|database: &VirtualDatabaseStatus| database.name.as_str())
        .collect();
    if waiting.is_empty() && !status.virtual_databases.is_empty() {
        return "ready\n".into_response();
    }
    let text = format!("not ready: no member is enabled in: {}\n", waiting.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
