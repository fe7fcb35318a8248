//! The HTTP routes.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::metrics;
use super::status::{MemberAction, Operations, Status, StatusSource, VirtualDatabaseStatus};

type Source = Arc<dyn StatusSource>;

/// Browsers do not send this header across sites without asking first.
const OPERATOR_HEADER: (&str, &str) = ("x-raidb", "operator");

/// The routes of the module's table, over one source.
pub fn router(source: Arc<dyn StatusSource>, operations: Arc<dyn Operations>) -> Router {
    let acting = Router::new().route("/members/{database}/{member}/{verb}", post(act)).with_state(operations);
    Router::new()
        .route("/status", get(status))
        .route("/metrics", get(metrics_page))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(source)
        .merge(acting)
}

/// Query of a rebuild.
#[derive(Debug, serde::Deserialize)]
struct Wish {
    from: Option<String>,
}

async fn act(
    State(operations): State<Arc<dyn Operations>>,
    Path((database, member, verb)): Path<(String, String, String)>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (name, value) = OPERATOR_HEADER;
    if headers.get(name).is_none_or(|found| found != value) {
        return (StatusCode::FORBIDDEN, format!("send the header {name}: {value}\n")).into_response();
    }
    let action = match verb.as_str() {
        "disable" => MemberAction::Disable,
        "enable" => MemberAction::Enable,
        "add" => match serde_json::from_slice(&body) {
            Ok(new) => MemberAction::Add(new),
            // Not the body itself: it may hold a password.
            Err(_) => return (StatusCode::BAD_REQUEST, "send url, weight and base_dir as JSON\n").into_response(),
        },
        "rebuild" => MemberAction::Rebuild { from: wish.from },
        other => {
            let text = format!("\"{other}\" is unknown; allowed: add, disable, enable, rebuild\n");
            return (StatusCode::NOT_FOUND, text).into_response();
        }
    };
    // In a task of its own: an operator who hangs up does not stop it half-way.
    let work = tokio::spawn(operations.act(database, member, action));
    match work.await.unwrap_or_else(|_| Err("it ended early; see the proxy's log".into())) {
        Ok(done) => format!("{done}\n").into_response(),
        Err(why) => (StatusCode::CONFLICT, format!("{why}\n")).into_response(),
    }
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
    operations: Arc<dyn Operations>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(source, operations)).with_graceful_shutdown(shutdown).await
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
