use super::subject::unknown_subject;
use super::*;
use crate::cli::planned;
use crate::spec::SourceFile;

const TEXT: &str = "name: look\nseed: 3\nsource: { phantom: { subjects: 4, size: [24, 20, 16], modalities: [ct, mr], classes: 2, labelled: 2, missing: 0.0 } }\n\
    stages: [orient: { to: RAS }, window: { range: [-175, 250], modalities: [ct] }]\n\
    views: { shared: [patch: { size: [16, 16, 16], samples: 1 }, flip: { axes: [x], p: 1.0 }], weak: [gamma: {}], strong: [gamma: { p: 1.0 }] }\n\
    train: { classes: [background, a, b], network: { unet3d: { width: 4, depth: 2 } }, steps: 1, batch: { labelled: 1 } }\n";

fn in_folder(text: &str) -> (tempfile::TempDir, ViewArgs) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("look.yaml");
    std::fs::write(&file, text).unwrap();
    let args = ViewArgs {
        target: file,
        subject: None,
        stage: None,
        seed: None,
        epoch: 0,
        set: Vec::new(),
        out: Some(folder.path().join("out.png")),
    };
    (folder, args)
}

fn size(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let reader = png::Decoder::new(file).read_info().unwrap();
    (reader.info().width, reader.info().height)
}

fn plan() -> Plan {
    let file = SourceFile {
        name: "look.yaml".into(),
        text: TEXT.into(),
    };
    planned(&file).unwrap()
}

#[test]
fn every_step_and_both_views_are_on_the_page() {
    let (_folder, args) = in_folder(TEXT);
    let mut printed = Vec::new();
    assert_eq!(view(&args, &mut printed).unwrap(), 0);
    let (width, height) = size(args.out.as_ref().unwrap());
    // Two bands of two panels of 400 pixels with their gaps, and two margins.
    assert_eq!(width, 2 * 808 + 18 + 28);
    // The source, five or six steps that change something, two modalities side by side: two in a row.
    assert!((4 * 250..6 * 300).contains(&height), "{height}");
    let printed = String::from_utf8(printed).unwrap();
    assert!(
        printed.ends_with(&format!("out.png ({width}x{height})\n")),
        "{printed}"
    );
}

#[test]
fn one_step_is_shown_before_and_after() {
    let (folder, args) = in_folder(TEXT);
    let whole = view(&args, &mut Vec::new())
        .map(|_| size(args.out.as_ref().unwrap()))
        .unwrap();
    let one = ViewArgs {
        stage: Some("views.strong[0].gamma".to_owned()),
        seed: Some(9),
        epoch: 2,
        out: Some(folder.path().join("one.png")),
        ..args
    };
    assert_eq!(view(&one, &mut Vec::new()).unwrap(), 0);
    let (width, height) = size(one.out.as_ref().unwrap());
    // Before and after are too wide to stand beside each other.
    assert_eq!(width, 2 * 560 + 8 + 28);
    assert!(height < whole.1, "{height} of {}", whole.1);
}

#[test]
fn seed_and_epoch_change_what_is_drawn() {
    let (_folder, args) = in_folder(TEXT);
    let picture = |seed, epoch| {
        let args = ViewArgs {
            seed,
            epoch,
            target: args.target.clone(),
            out: args.out.clone(),
            set: Vec::new(),
            stage: None,
            subject: None,
        };
        view(&args, &mut Vec::new()).unwrap();
        std::fs::read(args.out.as_ref().unwrap()).unwrap()
    };
    let first = picture(None, 0);
    assert!(
        first == picture(None, 0),
        "the same draws give the same bytes"
    );
    assert!(first == picture(Some(3), 0), "3 is the file's seed");
    assert!(first != picture(Some(4), 0) && first != picture(None, 1));
}

#[test]
fn an_unknown_subject_is_answered_with_the_nearest() {
    let (_folder, args) = in_folder(TEXT);
    let error = |id: &str| {
        let args = ViewArgs {
            subject: Some(id.to_owned()),
            target: args.target.clone(),
            out: args.out.clone(),
            set: Vec::new(),
            ..ViewArgs {
                stage: None,
                seed: None,
                epoch: 0,
                subject: None,
                set: Vec::new(),
                target: PathBuf::new(),
                out: None,
            }
        };
        view(&args, &mut Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(
        error("phantom-02"),
        "unknown subject `phantom-02`; did you mean `phantom-002`?"
    );
    let other = error("liver_7");
    assert!(other.contains("expected one of `phantom-000`"), "{other}");
    let ids: Vec<String> = (0..40).map(|i| format!("case {i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let many = unknown_subject("liver", &ids).to_string();
    assert!(many.ends_with("`case 11` or 28 more"), "{many}");
}

#[test]
fn steps_are_found_by_path_or_by_a_name_of_their_own() {
    let plan = plan();
    assert_eq!(
        find_stage(&plan, "stages[1].window").unwrap(),
        "stages[1].window"
    );
    assert_eq!(find_stage(&plan, "stages[1]").unwrap(), "stages[1].window");
    assert_eq!(find_stage(&plan, "flip").unwrap(), "views.shared[1].flip");
    let two = find_stage(&plan, "gamma").unwrap_err().to_string();
    assert_eq!(
        two,
        "`gamma` names 2 steps: views.strong[0].gamma, views.weak[0].gamma; write the path of one"
    );
    let none = find_stage(&plan, "zscore").unwrap_err().to_string();
    assert!(
        none.starts_with("unknown step `zscore`; the steps are stages[0].orient, "),
        "{none}"
    );
}

#[test]
fn a_subject_that_fails_is_shown_as_far_as_it_came() {
    let (folder, args) = in_folder(TEXT);
    view(&args, &mut Vec::new()).unwrap();
    let whole = size(args.out.as_ref().unwrap());
    // The phantom's second class is in no map.
    let remap = "remap: { map: { 0: 0, 1: 1 }, others: fail }";
    let text = TEXT.replace("window: { range: [-175, 250], modalities: [ct] }", remap);
    std::fs::write(&args.target, text).unwrap();
    let failed = ViewArgs {
        out: Some(folder.path().join("failed.png")),
        ..args
    };
    assert_eq!(view(&failed, &mut Vec::new()).unwrap(), 1);
    let (_, height) = size(failed.out.as_ref().unwrap());
    assert!(height < whole.1 / 2, "{height} of {}", whole.1);
}

#[test]
fn a_folder_without_predictions_says_how_to_keep_them() {
    let (folder, args) = in_folder(TEXT);
    let args = ViewArgs {
        target: folder.path().to_owned(),
        ..args
    };
    let error = view(&args, &mut Vec::new()).unwrap_err().to_string();
    assert!(
        error.contains("sinks: { predictions: { parquet: true } }"),
        "{error}"
    );
}

#[test]
fn a_group_of_runs_and_a_stopped_run_are_told_apart() {
    let text = TEXT.replace("steps: 1,", "steps: 1, objective: { supervised: {} },")
        + "sinks: { predictions: { parquet: true } }\n";
    let (folder, args) = in_folder(&text);
    let group = folder.path().join("group");
    for fold in ["fold-0", "fold-1"] {
        let run = group.join(fold);
        std::fs::create_dir_all(&run).unwrap();
        std::fs::copy(&args.target, run.join("pipeline.yaml")).unwrap();
        let status = "{ \"progress\": \"started\", \"version\": \"1\", \"started\": \"now\" }";
        std::fs::write(run.join("status.json"), status).unwrap();
    }
    let error = |target: PathBuf| {
        let args = ViewArgs {
            target,
            out: args.out.clone(),
            set: Vec::new(),
            stage: None,
            subject: None,
            ..args
        };
        view(&args, &mut Vec::new()).unwrap_err().to_string()
    };
    let said = error(group.clone());
    assert!(
        said.contains("holds 2 runs: fold-0, fold-1; name one"),
        "{said}"
    );
    let run = group.join("fold-1");
    let said = error(run.clone());
    assert!(
        said.contains("under way or was stopped") && said.contains("--resume"),
        "{said}"
    );
    let text = std::fs::read_to_string(run.join("pipeline.yaml")).unwrap();
    let text = text.replace("parquet: true", "parquet: false");
    std::fs::write(run.join("pipeline.yaml"), text).unwrap();
    let said = error(run);
    assert!(said.contains("kept no predictions as Parquet"), "{said}");
}
