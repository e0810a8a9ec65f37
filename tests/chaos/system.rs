//! A disk that is full.

use super::*;
use std::process::Command;

/// A file system in memory, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    /// `None`, with the reason, if this process may not mount one.
    fn mount(at: &Path, size: &str) -> Result<Self, String> {
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at);
        match command.output() {
            Ok(output) if output.status.success() => Ok(Self(at.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(e) => Err(format!("mount: {e}")),
        }
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let mut command = Command::new("mount");
        assert!(
            command
                .args(["-o", &options])
                .arg(&self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_ends_the_run_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let run = |out: &Path| {
        let mut run = Run::new(out);
        run.source = "phantom: { subjects: 9, modalities: [ct], size: [48, 48, 48] }".to_owned();
        run
    };
    run(&whole).start().unwrap();
    let whole = said(&whole);
    // The largest files first, so that it fills up at the first, a middle and the last part.
    for size in ["300k", "1200k", "2300k"] {
        let at = folder.path().join(size);
        let small = match Small::mount(&at, size) {
            Ok(small) => small,
            Err(reason) => {
                println!("skipped: no file system of {size} can be mounted: {reason}");
                return;
            }
        };
        let out = at.join("run");
        let done = run(&out).start();
        if let Err(error) = &done {
            assert_eq!(code(&done), 2);
            let told = voxstream::sink::causes(error);
            assert!(told.contains("No space left"), "{told}");
            // What was committed is whole.
            assert_eq!(verify(&out).unwrap().1, []);
        }
        small.resize("64m");
        let again = match out.join("status.json").exists() {
            true => run(&out).resumed().start(),
            false => {
                std::fs::remove_dir_all(&out).ok();
                run(&out).start()
            }
        };
        assert_eq!(code(&again), 0, "{size}: {again:?}");
        assert_eq!(said(&out), whole, "{size}");
    }
}
