//! Variables of the environment that hold credentials, and what to say where they are missing.

/// A variable of the environment that is set and not empty.
pub(super) fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What to do about a store that refuses access: the variables that are missing, or those to look at.
pub(super) fn hint(scheme: &str) -> String {
    let is_set = |name: &str| set(name).is_some();
    match scheme {
        "s3" if !is_set("AWS_ACCESS_KEY_ID") => "AWS_ACCESS_KEY_ID is not set; set it and AWS_SECRET_ACCESS_KEY (profile files are not read), or AWS_SKIP_SIGNATURE=true for a public bucket".to_owned(),
        "s3" if !is_set("AWS_SECRET_ACCESS_KEY") => "AWS_SECRET_ACCESS_KEY is not set; set it".to_owned(),
        "s3" => "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION: they may have expired, or lack the right".to_owned(),
        "gs" => "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account that has the right".to_owned(),
        "az" if !is_set("AZURE_STORAGE_ACCOUNT_NAME") => "AZURE_STORAGE_ACCOUNT_NAME is not set; set it and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY".to_owned(),
        "az" => "look at AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY: they may have expired, or lack the right".to_owned(),
        _ => "credentials of web servers are not supported; use a store, or copy the data to a local folder".to_owned(),
    }
}

/// Where the credentials belong that somebody wrote into a URL.
pub(super) fn instead_of_credentials(scheme: &str) -> &'static str {
    match scheme {
        "s3" => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
        "gs" => "set GOOGLE_APPLICATION_CREDENTIALS in the environment",
        "az" => "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY in the environment",
        _ => "use s3://, gs:// or az:// where access is restricted",
    }
}
