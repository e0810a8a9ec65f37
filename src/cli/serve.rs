//! `serve`: a read-only page that follows runs that are under way.
//!
//! The page is the report of a run, made again every few seconds, with slices to leaf through and a box
//! for SQL. Everything it needs is in the program. Runs are found by name among those of the folders
//! that were given; no request names a path.

mod access;
mod answers;
mod kept;
mod metrics;
mod slices;

use super::{say, stdout};
use crate::error::Error;
use crate::query::Runs;
use access::Access;
use answers::{App, Problem, Reply};
pub(super) use answers::{changed, state};
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Run folders, or folders that hold runs.
    #[arg(default_value = "runs")]
    pub runs: Vec<PathBuf>,
    /// Address and port; a port of 0 takes one that is free.
    #[arg(long, default_value = "127.0.0.1:7878")]
    pub address: SocketAddr,
    /// Word that a browser must bring; made up where the address is not of this machine alone.
    #[arg(long)]
    pub token: Option<String>,
}

/// Files of the page, with their types.
const ASSETS: [(&str, &str, &str); 3] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("serve/page.html"),
    ),
    (
        "/app.js",
        "text/javascript; charset=utf-8",
        include_str!("serve/app.js"),
    ),
    (
        "/app.css",
        "text/css; charset=utf-8",
        include_str!("serve/app.css"),
    ),
];

/// Headers of every answer: nothing from elsewhere is loaded, nothing is kept or framed.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Serves the page until the process is stopped; prints the address to open.
///
/// **Errors** if a folder holds no run, or the address cannot be used.
pub fn serve(args: &ServeArgs, out: &mut dyn Write) -> Result<u8, Error> {
    // A mistaken folder is said now, not in the browser.
    Runs::find(&args.runs)?;
    let failed = |action: &'static str| {
        let path = PathBuf::from(args.address.to_string());
        move |source| Error::Io {
            path: path.clone(),
            action,
            source,
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed("starting the server"))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.address).await;
        let listener = listener.map_err(failed("listening"))?;
        let address = listener.local_addr().map_err(failed("listening"))?;
        let access = Access::new(address, args.token.as_deref());
        say(out, &format!("{}\n", access.url(address)))?;
        out.flush().map_err(stdout)?;
        let program = std::env::current_exe().map_err(failed("looking for this program"))?;
        let app = App::new(args.runs.clone(), program);
        let router = router(Arc::new(app), Arc::new(access));
        axum::serve(listener, router)
            .await
            .map_err(failed("serving"))
    })?;
    Ok(0)
}

/// Every address that is answered.
fn router(app: Arc<App>, access: Arc<Access>) -> Router {
    let mut router = Router::new();
    for (path, kind, text) in ASSETS {
        let reply = move || async move { ([(header::CONTENT_TYPE, kind)], text) };
        router = router.route(path, get(reply));
    }
    router
        .route("/api/runs", get(answered::<RunList>))
        .route("/api/run", get(answered::<RunPage>))
        .route("/api/cases", get(answered::<Cases>))
        .route("/api/case", get(answered::<OneCase>))
        .route("/api/slice.png", get(answered::<Slice>))
        .route("/api/sql", get(answered::<Sql>))
        .route("/metrics", get(answered::<Metrics>))
        .with_state(app)
        .layer(middleware::from_fn_with_state(access, guarded))
}

/// A question that a request asks.
trait Question {
    fn answer(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem>;
}

macro_rules! questions {
    ($($name:ident => $answer:path;)+) => {$(
        struct $name;

        impl Question for $name {
            fn answer(app: &App, asked: &BTreeMap<String, String>) -> Result<Reply, Problem> {
                $answer(app, asked)
            }
        }
    )+};
}

questions! {
    RunList => answers::runs;
    RunPage => answers::run;
    Sql => answers::sql;
    Cases => slices::cases;
    OneCase => slices::case;
    Slice => slices::slice;
    Metrics => metrics::metrics;
}

/// Answers on a thread of its own: files are read, and queries have a runtime of theirs.
async fn answered<Q: Question + 'static>(
    State(app): State<Arc<App>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let answer = tokio::task::spawn_blocking(move || Q::answer(&app, &asked)).await;
    match answer {
        Ok(Ok(reply)) => ([(header::CONTENT_TYPE, reply.kind)], reply.body).into_response(),
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

impl Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (status, kind, self.text).into_response()
    }
}

/// Host, cookies and parameters of a request.
fn brought(request: &Request) -> [String; 3] {
    let header = |name: HeaderName| {
        let value = request.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    [header(header::HOST), header(header::COOKIE), query]
}

/// Lets in who may ask, and adds [`HEADERS`].
async fn guarded(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let [host, cookie, query] = brought(&request);
    let mut response = match access.check(&host, &cookie, &query) {
        Ok(()) => next.run(request).await,
        Err(text) => Problem { status: 403, text }.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(cookie) = access.cookie(&query)
        && let Ok(value) = HeaderValue::from_str(&cookie)
    {
        headers.insert(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests;
