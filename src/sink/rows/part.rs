//! The table of parts, which is the set of their commit records.

use super::*;

tables! {
    /// One row a part: a stretch of subjects whose results were committed together.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    PartRow => PARTS "parts" version 2 {
        /// Name of the part; its file in the folder of a table is `<part>.parquet`, or one that it shares with
        /// other parts, which `files` names.
        part: String => "",
        /// Id of its first subject.
        first_subject: String => "",
        /// Id of its last subject.
        last_subject: String => "",
        /// Subjects in it, those that failed or were left out among them.
        subjects: i64 => "subjects",
        /// Prepared rows in it, or predictions and pseudo-labels.
        rows: i64 => "rows",
        /// Subjects that failed.
        failures: i64 => "subjects",
        /// Subjects among them that failed for a reason that may pass, such as the memory budget or a file that
        /// changed meanwhile: the part is made again when the run is resumed.
        retry: i64 => "subjects",
        /// Bytes of its files when it was committed.
        bytes: i64 => "bytes" volatile,
        /// Time from its first subject to its commit.
        seconds: f64 => "s" volatile,
        /// Machine that made it.
        host: String => "" volatile,
        /// How often the run had been started when it was made, from 1.
        attempt: i32 => "" volatile,
        /// When it was committed, in UTC (RFC 3339).
        committed: String => "" volatile,
        /// BLAKE3 over the plan and the inputs it was made from.
        digest: String => "",
        /// Version of voxstream that made it.
        version: String => "",
        /// Its files: BLAKE3, bytes and path below the run folder of each. Files whose names begin with `merged-`
        /// hold rows of several parts.
        files: Vec<String> => "" volatile,
        /// What the nodes of an executor counted since its part before, each as a row of `edges` in JSON: whoever
        /// drives the run adds it to that table. Empty where the run is made by one process.
        nodes: Vec<String> => "" volatile,
        /// BLAKE3 over the columns before: a row that was damaged later is told, and not believed.
        checksum: String => "" volatile,
    }
}
