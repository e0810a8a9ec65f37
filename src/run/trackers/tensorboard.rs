//! TensorBoard's event files: `tensorboard --logdir runs` shows every run below the folder.
//!
//! **Source** TensorFlow, `core/lib/io/record_writer.h` (framing), `core/util/event.proto` and
//! `core/framework/summary.proto` (fields). An event holds a time, a step and one scalar.

use super::tracker::{Tracker, now, tag};
use crate::error::Error;
use crate::sink::MetricRow;
use crate::store;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// How names of event files begin.
const PREFIX: &str = "events.out.tfevents.";

/// The event file of one start of a run.
pub(super) struct Tensorboard {
    path: PathBuf,
    to: Target,
}

enum Target {
    /// Grows: who reads it keeps it open.
    File(File),
    /// An object is put whole each time.
    Object(Vec<u8>),
}

impl Tensorboard {
    /// Begins a file in a run folder; those of earlier starts are removed.
    ///
    /// **Errors** if the folder cannot be listed or written.
    pub(super) fn start(run: &Path) -> Result<Self, Error> {
        let entries = match store::list(run) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(Error::io(run, "listing the folder"))?,
        };
        let is_of_events = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX))
        };
        for entry in entries.iter().filter(|entry| is_of_events(&entry.path)) {
            let removed = store::remove(&entry.path);
            removed.map_err(Error::io(
                &entry.path,
                "removing the events of an earlier start",
            ))?;
        }
        let host = sysinfo::System::host_name().unwrap_or_default();
        let path = run.join(format!("{PREFIX}{:010}.{host}", now() as u64));
        let to = match store::is_url(run) {
            true => Target::Object(Vec::new()),
            false => {
                let file = OpenOptions::new().create(true).append(true).open(&path);
                Target::File(file.map_err(Error::io(&path, "creating"))?)
            }
        };
        let mut events = Self { path, to };
        // The first event names the version of the format.
        let mut first = Vec::new();
        double(&mut first, 1, now());
        bytes(&mut first, 3, b"brain.Event:2");
        events.append(&record(&first))?;
        Ok(events)
    }

    fn append(&mut self, records: &[u8]) -> Result<(), Error> {
        let written = match &mut self.to {
            Target::File(file) => file.write_all(records),
            Target::Object(whole) => {
                whole.extend_from_slice(records);
                store::write(&self.path, whole)
            }
        };
        written.map_err(Error::io(&self.path, "writing events"))
    }
}

impl Tracker for Tensorboard {
    fn write(&mut self, rows: &[MetricRow]) -> Result<(), Error> {
        let at = now();
        let records: Vec<u8> = rows
            .iter()
            .flat_map(|row| record(&scalar(row, at)))
            .collect();
        match records.is_empty() {
            true => Ok(()),
            false => self.append(&records),
        }
    }

    fn end(&mut self, _: bool) -> Result<(), Error> {
        Ok(())
    }
}

/// The event of a row: `{ wall_time: 1, step: 2, summary: 5 { value: 1 { tag: 1, simple_value: 2 } } }`.
fn scalar(row: &MetricRow, at: f64) -> Vec<u8> {
    let mut value = Vec::new();
    bytes(&mut value, 1, tag(row).as_bytes());
    // Field 2 of 32 bits.
    value.push(2 << 3 | 5);
    value.extend_from_slice(&(row.value as f32).to_le_bytes());
    let mut summary = Vec::new();
    bytes(&mut summary, 1, &value);
    let mut event = Vec::new();
    double(&mut event, 1, at);
    event.push(2 << 3);
    varint(&mut event, row.step as u64);
    bytes(&mut event, 5, &summary);
    event
}

/// A record: length, check of the length, data, check of the data.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend_from_slice(&masked(&length).to_le_bytes());
    record.extend_from_slice(data);
    record.extend_from_slice(&masked(data).to_le_bytes());
    record
}

/// A field of text, bytes or a message.
fn bytes(into: &mut Vec<u8>, field: u8, content: &[u8]) {
    into.push(field << 3 | 2);
    varint(into, content.len() as u64);
    into.extend_from_slice(content);
}

fn double(into: &mut Vec<u8>, field: u8, value: f64) {
    into.push(field << 3 | 1);
    into.extend_from_slice(&value.to_le_bytes());
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// CRC-32C, turned and shifted so that a checksum among the data is none of itself.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: a training writes a few KB of events a second.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !data.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn an_event_has_the_bytes_of_its_message() {
        let row = MetricRow {
            step: 300,
            epoch: 0,
            split: "train".to_owned(),
            subject_id: None,
            modality: None,
            class: None,
            name: "loss".to_owned(),
            value: 0.5,
            unit: "1".to_owned(),
        };
        let mut expected = vec![0x09];
        expected.extend_from_slice(&2.0f64.to_le_bytes());
        expected.extend_from_slice(&[0x10, 0xac, 0x02, 0x2a, 19, 0x0a, 17, 0x0a, 10]);
        expected.extend_from_slice(b"train/loss");
        expected.extend_from_slice(&[0x15, 0, 0, 0, 0x3f]);
        assert_eq!(scalar(&row, 2.0), expected);
        let framed = record(&expected);
        assert_eq!(framed.len(), expected.len() + 16);
        assert_eq!(framed[..8], (expected.len() as u64).to_le_bytes());
    }
}
