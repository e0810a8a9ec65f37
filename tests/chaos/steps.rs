//! Steps that go wrong at the first, a middle and the last subject.

use super::*;

const PHASES: [&str; 3] = ["phantom-000", "phantom-004", "phantom-008"];

#[test]
fn one_subject_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert_eq!(code(&Run::new(&whole).start()), 0);
    let whole = said(&whole);
    let cases = [
        (Fault::Error, 1, "refused by the test"),
        (Fault::Panic, 3, "internal error: a panic of the test"),
        (
            Fault::WrongSchema,
            1,
            "the step made images [\"ct\", \"other\"]",
        ),
        (Fault::ShortRow, 1, "needs 16384 bytes, found 28"),
        (Fault::Delay, 0, ""),
        (Fault::Hog, 0, ""),
    ];
    for (fault, expected, cause) in cases {
        for subject in PHASES {
            let out = folder.path().join(format!("{fault:?}-{subject}"));
            let name = serde_json::to_value(fault).unwrap();
            let chaos = format!("{{ subjects: {{ {subject}: {name} }} }}");
            let done = Run::new(&out).with(chaos).start();
            assert_eq!(code(&done), expected, "{fault:?} {subject}: {done:?}");
            let found = said(&out);
            assert_eq!(found.causes.len(), usize::from(expected > 0));
            for (id, text) in &found.causes {
                assert_eq!(id, subject);
                assert!(
                    text.starts_with("stages[1].chaos: ") && text.contains(cause),
                    "{text}"
                );
            }
            if expected == 0 {
                assert_eq!(found, whole, "{fault:?} {subject}");
            }
            assert_eq!(found.without(subject), whole.clone().without(subject));
        }
    }
}

/// Many seeds by `VOXSTREAM_SOAK`; four by default.
#[test]
fn many_subjects_go_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    Run::new(&whole).start().unwrap();
    let whole = said(&whole);
    let seeds = std::env::var("VOXSTREAM_SOAK").map_or(4, |count| count.parse().unwrap());
    for seed in 0..seeds {
        let out = folder.path().join("seed");
        let chaos = format!("{{ seed: {seed} }}");
        let done = Run::new(&out).with(chaos.clone()).start();
        let found = said(&out);
        let mut codes = vec![0];
        for (id, was) in &whole.subjects {
            let fault = drawn(seed, id);
            let harmless = matches!(fault, Fault::None | Fault::Delay | Fault::Hog);
            codes.push(match fault {
                Fault::Panic => 3,
                _ => u8::from(!harmless),
            });
            match harmless {
                true => assert_eq!(&found.subjects[id], was, "seed {seed}, {id}"),
                false => assert_eq!(found.subjects[id].0, "failed", "seed {seed}, {id}"),
            }
        }
        assert_eq!(Some(&code(&done)), codes.iter().max(), "seed {seed}");
        // Nothing changes when it is looked at again.
        assert_eq!(
            code(&Run::new(&out).with(chaos).resumed().start()),
            code(&done)
        );
        assert_eq!(said(&out), found);
        std::fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_commit_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    Run::new(&whole).start().unwrap();
    let whole = said(&whole);
    for subject in PHASES {
        // The folder of a table is lost: the run ends, and goes on once it is back.
        let out = folder.path().join(subject);
        let [subjects, away, once] = ["subjects", "away", "once"].map(|name| out.join(name));
        let chaos = format!(
            "{{ subjects: {{ {subject}: block }}, paths: [{}, {}], once: {} }}",
            subjects.display(),
            away.display(),
            once.display()
        );
        let done = Run::new(&out).with(chaos.clone()).start();
        assert_eq!(code(&done), 2, "{subject}: {done:?}");
        let told = done.unwrap_err().to_string();
        assert!(told.contains("subjects"), "{told}");
        std::fs::remove_file(&subjects).unwrap();
        std::fs::rename(&away, &subjects).ok();
        let committed = Ledger::open(&out).unwrap().parts().len();
        let again = Run::new(&out).with(chaos).resumed().start();
        assert_eq!(code(&again), 0, "{again:?}");
        assert_eq!(said(&out), whole);
        assert!(Ledger::open(&out).unwrap().parts().len() > committed);
    }
}
