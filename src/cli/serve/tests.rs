use super::*;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;

/// A server over a folder, on a port of its own; it ends with the test's process.
fn started(folder: &Path, token: Option<&str>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (folders, token) = (vec![folder.to_owned()], token.map(str::to_owned));
    std::thread::Builder::new()
        .name("serve".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                tell.send(address).unwrap();
                let access = Access::new(address, token.as_deref());
                let app = App::new(folders, "/nowhere/voxstream".into());
                let router = router(Arc::new(app), Arc::new(access));
                axum::serve(listener, router).await.unwrap();
            });
        })
        .unwrap();
    told.recv().unwrap()
}

/// Status, headers and body of a request.
fn asked(address: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("cmc/20260101T000000");
    let edge = crate::sink::EdgeRow {
        node: "source".into(),
        rows: 5,
        bytes: 1000,
        busy_seconds: 0.5,
        starved_seconds: 0.0,
        blocked_seconds: 0.0,
        failures: 0,
    };
    crate::sink::write_table(&run.join("edges.parquet"), &[edge]).unwrap();
    std::fs::write(run.join("status.json"), r#"{"progress": "started"}"#).unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    folder
}

#[test]
fn runs_are_shown_and_asked() {
    let folder = folder();
    let address = started(folder.path(), None);
    let get = |path: &str| asked(address, "GET", path, "");
    let (status, head, body) = get("/");
    assert_eq!(status, 200);
    assert!(
        head.contains("content-security-policy: default-src 'none'") && head.contains("nosniff")
    );
    assert!(body.contains("app.js"));
    // Nothing is loaded from elsewhere.
    for path in ["/", "/app.js", "/app.css"] {
        assert!(!get(path).2.contains("http"), "{path}");
    }
    let runs: serde_json::Value = serde_json::from_str(&get("/api/runs").2).unwrap();
    assert_eq!(
        (&runs[0]["run"], &runs[0]["state"]),
        (&"cmc/20260101T000000".into(), &"running".into())
    );
    let (status, _, page) = get("/api/run?run=cmc%2F20260101T000000");
    assert!(status == 200 && page.contains("Time per stage"), "{page}");
    assert_eq!(get("/api/sql").0, 400);
    let (_, head, metrics) = get("/metrics");
    assert!(head.contains("application/openmetrics-text"));
    assert!(
        metrics
            .contains("voxstream_node_rows_total{run=\"cmc/20260101T000000\",node=\"source\"} 5\n"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn nothing_else_is_served() {
    let folder = folder();
    let address = started(folder.path(), None);
    for path in [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/api/run?run=..",
        "/api/run?run=cmc%2F20260101T000000%2F..%2F..",
        "/api/cases?run=%2Fetc",
        "/api/slice.png?run=cmc%2F20260101T000000&subject=..%2F..%2Fsecret",
    ] {
        let (status, _, body) = asked(address, "GET", path, "");
        assert_eq!(status, 404, "{path}");
        assert!(!body.contains("secret\n"), "{path}");
    }
    assert_eq!(
        asked(address, "POST", "/api/runs", "Content-Length: 0\r\n").0,
        405
    );
    assert_eq!(asked(address, "DELETE", "/api/runs", "").0, 405);
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let folder = folder();
    let address = started(folder.path(), Some("word"));
    let status = |path: &str, headers: &str| asked(address, "GET", path, headers).0;
    assert_eq!(status("/", ""), 403);
    assert_eq!(status("/api/runs", "Cookie: token=wrong\r\n"), 403);
    assert_eq!(status("/api/runs", "Cookie: token=word\r\n"), 200);
    let (status, head, _) = asked(address, "GET", "/?token=word", "");
    assert!(
        status == 200 && head.contains("set-cookie: token=word; httponly"),
        "{head}"
    );
}
