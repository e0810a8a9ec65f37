//! Clients of stores, configured by the environment of the process and by nothing else.
//!
//! | store | variables |
//! | --- | --- |
//! | `s3://` | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL` (a server other than Amazon's), `AWS_SKIP_SIGNATURE=true` (public buckets), web identity and container variables of the SDKs |
//! | `gs://` | `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_SERVICE_ACCOUNT_KEY` |
//! | `az://` | `AZURE_STORAGE_ACCOUNT_NAME` with `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_KEY` or client id, secret and tenant |
//! | `http(s)://` | none |
//!
//! Profile files are not read. A plain `http://` endpoint is used only on this machine, or with
//! `AWS_ALLOW_HTTP=true`.

use super::ObjectUrl;
use super::error::StoreError;
use object_store::ObjectStore;
use std::sync::Arc;

/// A client for the store of a URL.
///
/// **Errors** if the environment does not say how to reach it.
#[cfg(feature = "cloud")]
pub(super) fn connect(url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>, StoreError> {
    connected::connect(url)
}

/// Without the feature `cloud` there are no clients.
///
/// **Errors** always, naming the feature.
#[cfg(not(feature = "cloud"))]
pub(super) fn connect(url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let problem = format!(
        "this program was built without the feature `cloud`, which reads {}://; build it with `--features cloud`, or copy the data to a local folder",
        url.scheme()
    );
    Err(StoreError::new(std::io::ErrorKind::Unsupported, problem))
}

#[cfg(feature = "cloud")]
mod connected {
    use super::super::credentials::{hint, set};
    use super::super::runtime;
    use super::{ObjectUrl, StoreError};
    use object_store::aws::AmazonS3Builder;
    use object_store::azure::MicrosoftAzureBuilder;
    use object_store::client::SpawnedReqwestConnector;
    use object_store::gcp::GoogleCloudStorageBuilder;
    use object_store::http::HttpBuilder;
    use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, RetryConfig};
    use std::io::ErrorKind;
    use std::sync::Arc;
    use std::time::Duration;

    /// Longest time to connect.
    const CONNECT: Duration = Duration::from_secs(10);
    /// Longest time of one request, body included; bodies have a few MiB at most.
    const REQUEST: Duration = Duration::from_secs(60);

    /// Few and quick: what takes longer is tried again by [`retry`](super::super::retry), which knows
    /// how long to be patient.
    fn retries() -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: 2,
            retry_timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn connect(url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>, StoreError> {
        made(url).map_err(|cause| {
            let problem = format!("{cause}; {}", hint(url.scheme()));
            StoreError::new(ErrorKind::InvalidInput, problem)
        })
    }

    fn made(url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>, Error> {
        let name = url.authority();
        // Every request runs on our threads, whichever runtime asks for it.
        let requests = SpawnedReqwestConnector::new(runtime::handle()?.clone());
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout(REQUEST);
        Ok(match url.scheme() {
            "s3" => {
                let endpoint = set("AWS_ENDPOINT_URL").or_else(|| set("AWS_ENDPOINT"));
                let local = endpoint.is_some_and(|endpoint| is_loopback(&endpoint));
                let allowed = local || set("AWS_ALLOW_HTTP").is_some_and(|v| v == "true");
                let builder = AmazonS3Builder::from_env()
                    .with_bucket_name(name)
                    .with_client_options(options.with_allow_http(allowed))
                    .with_http_connector(requests)
                    .with_retry(retries());
                Arc::new(builder.build()?)
            }
            "gs" => Arc::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(name)
                    .with_client_options(options)
                    .with_http_connector(requests)
                    .with_retry(retries())
                    .build()?,
            ),
            "az" => Arc::new(
                MicrosoftAzureBuilder::from_env()
                    .with_container_name(name)
                    .with_client_options(options)
                    .with_http_connector(requests)
                    .with_retry(retries())
                    .build()?,
            ),
            _ => Arc::new(
                HttpBuilder::new()
                    .with_url(url.root())
                    .with_client_options(options.with_allow_http(url.scheme() == "http"))
                    .with_http_connector(requests)
                    .with_retry(retries())
                    .build()?,
            ),
        })
    }

    /// Returns `true` if a server is on this machine, where nobody listens on the way.
    fn is_loopback(endpoint: &str) -> bool {
        let Some(rest) = endpoint.strip_prefix("http://") else {
            return false;
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let address = host.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    #[cfg(test)]
    mod tests {
        use super::is_loopback;

        #[test]
        fn only_this_machine_is_loopback() {
            for (endpoint, expected) in [
                ("http://127.0.0.1:5000", true),
                ("http://localhost", true),
                ("http://[::1]:9000/", true),
                ("http://10.0.0.1:9000", false),
                ("http://127.0.0.1.example.org", false),
                ("https://127.0.0.1", false),
            ] {
                assert_eq!(is_loopback(endpoint), expected, "{endpoint}");
            }
        }
    }
}
