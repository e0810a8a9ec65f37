//! Files and objects: one way to read a path that may be local or the URL of an object in a store.
//!
//! A path in a pipeline, a manifest or on the command line is a local path or a URL:
//!
//! | written as | read from |
//! | --- | --- |
//! | `s3://bucket/key` | Amazon S3 and servers that speak its protocol |
//! | `gs://bucket/key` | Google Cloud Storage |
//! | `az://container/key` | Azure Blob Storage |
//! | `http://host/path`, `https://host/path` | a web server that answers ranges; folders need WebDAV |
//! | `file:///path` and anything without a scheme | the local file system |
//!
//! **How a URL travels.** The types above this module hold a [`Path`], and a URL is carried in it as
//! written: it shows as the URL in every message, plan and table. [`Location::of`] recognises it, and
//! every function here that takes a path accepts both kinds. Local paths go to [`std::fs`] as ever.
//!
//! **Credentials** come from the environment of the process alone ([`client`]). A URL that carries a
//! user name, a password or a signature is refused, so that no path can show one; server messages
//! that are shown lose the query of every URL in them.
//!
//! **Faults that may pass** (a server that cannot be reached, answers 5xx or 429, breaks a body off or
//! lets a request wait) are tried again with growing pauses ([`retry`]), from the byte that was
//! reached. When [`patience`](retry::patience) is over, the error is a [`std::io::Error`] whose kind
//! is not one of the file itself, so that a subject that met it is tried again by `--resume`.
//!
//! **Versions.** An object is opened once ([`Object::open`]): its size, ETag and time of change are kept,
//! and every later answer is compared with them. An object that is replaced meanwhile is an error,
//! never a mixture of two contents.
//!
//! **Writing.** An object appears whole or not at all. [`create`] puts one only where there is none, and
//! [`replace`] only over a known version: with these a commit record and a lease are safe between processes.
//! What a run has is what the store lists, which S3, Google Cloud and Azure do at once; where a list lags, a
//! resumed run writes some parts again, and the report of a run that ends meanwhile may lack them.
//!
//! **Memory.** A reader holds at most [`READ_AHEAD`] bytes, which are fetched in parallel, an upload at most [`UPLOAD_AHEAD`].
//!
//! Requests run on one runtime of this module ([`runtime`]): the bridge from blocking to asynchronous
//! code is here and nowhere else.

pub mod client;
mod credentials;
mod error;
mod listing;
mod location;
mod many;
mod object;
mod patient;
mod reader;
mod reading;
mod registry;
pub mod retry;
pub mod runtime;
mod target;
mod writing;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use listing::{Entry, list, walk};
pub use location::{Location, ObjectUrl, is_url, join, parent, redacted};
pub use many::many;
pub use object::{Object, Version};
pub use patient::patient;
pub use reader::{ObjectReader, READ_AHEAD};
pub use reading::{digest, exists, is_dir, metadata, open, read, read_to_string};
pub use registry::{backing, register};
pub use target::Target;
pub use writing::{UPLOAD_AHEAD, create, remove, remove_folder, replace, upload, write};

#[cfg(doc)]
use std::path::Path;
