//! Errors of stores in words that a user can act on, and without anything secret.

use super::{ObjectUrl, credentials};
use object_store::Error as Cause;
use std::io::{self, ErrorKind};

/// Why a store did not do what was asked; the path is named by whoever asked.
///
/// It travels inside of a [`std::io::Error`], whose kind says whether the fault is in the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct StoreError {
    problem: String,
    kind: ErrorKind,
}

impl StoreError {
    pub(super) fn new(kind: ErrorKind, problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            kind,
        }
    }

    /// The error for a URL with a user name, a password or a signature in it.
    pub(super) fn credentials(scheme: &str) -> Self {
        let problem = format!(
            "a URL may hold no credentials and no `?` or `#`, as it is shown in plans and tables; write it without them, and {}",
            credentials::instead_of_credentials(scheme)
        );
        Self::new(ErrorKind::InvalidInput, problem)
    }

    /// The error for an object that was replaced while it was read.
    pub(super) fn changed() -> Self {
        let problem =
            "the object has changed since it was opened; start again when nobody writes it";
        Self::new(ErrorKind::InvalidData, problem)
    }

    /// The error for a body that ended early, which counts as one that may pass.
    pub(super) fn truncated(expected: u64, found: u64) -> Cause {
        let problem = format!("the answer ended after {found} of {expected} bytes");
        Cause::Generic {
            store: "store",
            source: Box::new(Self::new(ErrorKind::ConnectionAborted, problem)),
        }
    }

    /// The error that a request to `url` came to.
    pub(super) fn from_cause(url: &ObjectUrl, cause: &Cause) -> Self {
        let answer = Answer::of(cause);
        let (kind, problem) = match cause {
            Cause::NotFound { .. } => (ErrorKind::NotFound, "there is no such object".to_owned()),
            Cause::AlreadyExists { .. } => (
                ErrorKind::AlreadyExists,
                "there is such an object already".to_owned(),
            ),
            Cause::Precondition { .. } | Cause::NotModified { .. } => return Self::changed(),
            Cause::InvalidPath { .. } => (ErrorKind::InvalidInput, deepest(cause)),
            Cause::NotSupported { .. } | Cause::NotImplemented { .. } => {
                (ErrorKind::Unsupported, unsupported(url, cause))
            }
            _ if refuses_credentials(cause, &answer) => (
                ErrorKind::PermissionDenied,
                "the store refused access".to_owned(),
            ),
            _ => match answer.status {
                Some(400..=499) => (ErrorKind::InvalidInput, "the store refused".to_owned()),
                Some(_) => (ErrorKind::Other, "the store failed".to_owned()),
                None if cannot_list(cause) => (ErrorKind::Unsupported, unsupported(url, cause)),
                None => (
                    kind_of(cause),
                    format!("the store cannot be reached ({})", deepest(cause)),
                ),
            },
        };
        let problem = match answer.text() {
            Some(text) => format!("{problem} ({text})"),
            None => problem,
        };
        let problem = match kind {
            ErrorKind::PermissionDenied => {
                format!("{problem}; {}", credentials::hint(url.scheme()))
            }
            _ => problem,
        };
        Self::new(kind, problem)
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::new(error.kind, error)
    }
}

/// An error of the user's path.
pub(super) fn invalid(problem: impl Into<String>) -> io::Error {
    StoreError::new(ErrorKind::InvalidInput, problem).into()
}

/// Returns `true` if the same request may succeed later.
pub(super) fn may_pass(cause: &Cause) -> bool {
    let Cause::Generic { .. } = cause else {
        return false;
    };
    let answer = Answer::of(cause);
    match answer.status {
        Some(408 | 429 | 500..=599) => true,
        Some(_) => false,
        None => {
            let is_beyond = cause.to_string().contains("object was only");
            !(is_beyond || refuses_credentials(cause, &answer) || cannot_list(cause))
        }
    }
}

/// What a server said: status, and the code and message of its body where they have the usual form.
struct Answer {
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
}

impl Answer {
    fn of(cause: &Cause) -> Self {
        let text = cause.to_string();
        let status = text.split_once("status code: ").and_then(|(_, rest)| {
            let digits = rest.get(..3)?;
            digits.parse().ok()
        });
        Self {
            status,
            code: element(&text, "Code"),
            message: element(&text, "Message"),
        }
    }

    /// Never the whole body: some servers repeat the key and what was signed in it.
    fn text(&self) -> Option<String> {
        let status = self.status.map(|status| status.to_string());
        let code = self
            .code
            .clone()
            .filter(|code| Some(code) != status.as_ref());
        let parts: Vec<String> = status.into_iter().chain(code).collect();
        let head = parts.join(" ");
        match (&self.message, head.is_empty()) {
            (_, true) => None,
            (Some(message), false) => Some(format!("{head}: {}", without_queries(message))),
            (None, false) => Some(head),
        }
    }
}

/// The text of an XML element; `None` if it is absent, empty or long.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let inner = inner.trim().trim_end_matches('.');
    (!inner.is_empty() && inner.len() <= 200 && !inner.contains('<')).then(|| inner.to_owned())
}

fn refuses_credentials(cause: &Cause, answer: &Answer) -> bool {
    const CODES: [&str; 4] = [
        "ExpiredToken",
        "InvalidToken",
        "InvalidAccessKeyId",
        "AuthenticationFailed",
    ];
    match cause {
        Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => true,
        _ => {
            let known = match answer.code.as_deref() {
                Some(code) => CODES.contains(&code),
                // The answer to a question for the size alone has no body; this is what it means.
                None => answer.status == Some(400),
            };
            // Where no credentials are set, they are asked of the machine, which may be none of a cloud.
            let text = cause.to_string();
            known || text.contains("169.254.169.254") || text.contains("metadata.google.internal")
        }
    }
}

/// Web servers list folders only if they speak WebDAV.
fn cannot_list(cause: &Cause) -> bool {
    let text = cause.to_string();
    text.contains("PROPFIND") || text.contains("Received non-partial response")
}

fn unsupported(url: &ObjectUrl, cause: &Cause) -> String {
    match url.scheme().starts_with("http") {
        true => "this web server does not answer requests for a range of bytes or for the list of a folder (WebDAV); copy the data to a local folder or a store".to_owned(),
        false => format!("the store does not support this: {}", deepest(cause)),
    }
}

fn kind_of(cause: &Cause) -> ErrorKind {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(cause);
    while let Some(error) = next {
        if let Some(known) = error.downcast_ref::<StoreError>() {
            return known.kind;
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() != ErrorKind::NotFound
        {
            return io.kind();
        }
        next = error.source();
    }
    ErrorKind::Other
}

/// The last of an error's causes, which is what happened.
fn deepest(cause: &Cause) -> String {
    let mut error: &(dyn std::error::Error + 'static) = cause;
    while let Some(source) = error.source() {
        error = source;
    }
    without_queries(&error.to_string())
}

/// A text in which every URL has lost its query, which may hold a signature.
fn without_queries(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match word.split_once('?') {
            Some((before, rest)) if before.contains("://") => {
                let end: String = rest.chars().filter(|c| c.is_whitespace()).collect();
                shown.push_str(before);
                shown.push_str("?…");
                shown.push_str(&end);
            }
            _ => shown.push_str(word),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Location;
    use std::path::Path;

    fn url(text: &str) -> ObjectUrl {
        match Location::of(Path::new(text)).unwrap() {
            Location::Object(url) => url,
            Location::Local(path) => panic!("{} is local", path.display()),
        }
    }

    fn generic(text: &str) -> Cause {
        Cause::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn an_answer_is_shown_without_the_keys_that_servers_repeat() {
        let body = "Error performing GET https://h/k?sig=HIDDEN in 1ms - Server returned non-2xx status code: 400 Bad Request: <Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><AWSAccessKeyId>AKID</AWSAccessKeyId></Error>";
        let error = StoreError::from_cause(&url("s3://b/k"), &generic(body));
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        let text = error.to_string();
        assert!(
            text.contains("(400 ExpiredToken: The provided token has expired)"),
            "{text}"
        );
        assert!(text.contains("AWS_"), "{text}");
        assert!(!text.contains("HIDDEN") && !text.contains("AKID"), "{text}");
        assert!(!may_pass(&generic(body)));
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        for (text, passes) in [
            ("status code: 500 Internal Server Error: ", true),
            ("status code: 503 Slow Down: ", true),
            ("status code: 429 Too Many Requests: ", true),
            ("status code: 416 Range Not Satisfiable: ", false),
            ("status code: 400 Bad Request: ", false),
            ("connection reset by peer", true),
            ("PUT http://169.254.169.254/latest/api/token", false),
        ] {
            assert_eq!(may_pass(&generic(text)), passes, "{text}");
        }
        let cut = StoreError::truncated(10, 3);
        assert!(may_pass(&cut));
        let error = StoreError::from_cause(&url("gs://b/k"), &cut);
        assert_eq!(error.kind, ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains("after 3 of 10 bytes"), "{error}");
    }

    #[test]
    fn queries_of_urls_are_not_shown() {
        assert_eq!(
            without_queries("GET http://h/a?sig=x failed: why?\n"),
            "GET http://h/a?… failed: why?\n"
        );
    }
}
