//! `compare('run_a', 'run_b')`: two runs on the subjects that both scored.

use super::QueryError;
use super::runs::{Run, Runs};
use crate::metric::{Paired, mean, paired};
use crate::sink::parquet::read_batches;
use crate::sink::table::{DOC_KEY, UNIT_KEY};
use crate::sink::{TableRow as _, causes, rows::ScoreRow};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name in SQL.
pub(super) const NAME: &str = "compare";
/// Meaning.
pub(super) const DOC: &str = "One row a split, checkpoint, modality and class or region: both runs on the subjects that both scored, \
     with a paired Wilcoxon test and a 95 % bootstrap interval of the difference.";
/// Figures that can be compared; the first is the default.
const FIGURES: [&str; 6] = [
    "dice",
    "hd95_mm",
    "assd_mm",
    "lesion_f1",
    "volume_difference",
    "predicted_ml",
];

/// The table function.
#[derive(Debug)]
pub(super) struct Compare {
    runs: Runs,
}

impl Compare {
    pub(super) fn new(runs: &Runs) -> Self {
        Self { runs: runs.clone() }
    }
}

impl TableFunctionImpl for Compare {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let texts: Option<Vec<&str>> = args.exprs().iter().map(text).collect();
        let wrong = || {
            DataFusionError::Plan(
                "compare takes the names of two runs as text, and a figure if it is not Dice: \
                 compare('run_a', 'run_b'), compare('run_a', 'run_b', 'hd95_mm')"
                    .to_owned(),
            )
        };
        let (a, b, figure) = match texts.as_deref() {
            Some(&[a, b]) => (a, b, FIGURES[0]),
            Some(&[a, b, figure]) => (a, b, figure),
            _ => return Err(wrong()),
        };
        let batch =
            compare(&self.runs, a, b, figure).map_err(|e| DataFusionError::Plan(e.to_string()))?;
        Ok(Arc::new(MemTable::try_new(
            batch.schema(),
            vec![vec![batch]],
        )?))
    }
}

fn text(argument: &Expr) -> Option<&str> {
    match argument {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)), _) => {
            Some(text)
        }
        Expr::Literal(ScalarValue::Utf8View(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// What two scores have in common: split, checkpoint, modality, class number and class.
type Group = (String, String, String, Option<(i32, String)>);

/// Both runs on the subjects that both scored, one row a split, checkpoint, modality and class; a
/// class of null is the mean over the classes of a subject.
///
/// **Errors** if a run or the figure is unknown, a run has no scores, or they have no subject in
/// common.
pub fn compare(runs: &Runs, a: &str, b: &str, figure: &str) -> Result<RecordBatch, QueryError> {
    if !FIGURES.contains(&figure) {
        return Err(QueryError::sql(format!(
            "compare knows no figure `{figure}`; {}",
            crate::spec::suggest(figure, &FIGURES)
        )));
    }
    let (first, second) = (runs.named(a)?, runs.named(b)?);
    let (of_first, of_second) = (scores(first, figure)?, scores(second, figure)?);
    let mut rows: Vec<(Group, Vec<(f64, f64)>)> = Vec::new();
    for (group, values) in &of_first {
        let Some(others) = of_second.get(group) else {
            continue;
        };
        let both = values.iter().filter_map(|(subject, value)| {
            let other = others.get(subject)?;
            Some(((*value)?, (*other)?))
        });
        let both: Vec<(f64, f64)> = both.collect();
        if !both.is_empty() {
            rows.push((group.clone(), both));
        }
    }
    if rows.is_empty() {
        return Err(QueryError::sql(format!(
            "`{}` and `{}` scored no subject, modality and class in common with a `{figure}`; look at `select distinct run, split, checkpoint, modality, subject_id from worst_subjects`",
            first.name, second.name
        )));
    }
    Ok(table(&rows, figure))
}

type Scores = BTreeMap<Group, BTreeMap<String, Option<f64>>>;

/// A figure of a run by group and subject.
fn scores(run: &Run, figure: &str) -> Result<Scores, QueryError> {
    let files = run.files(ScoreRow::TABLE.name);
    if files.is_empty() {
        return Err(QueryError::sql(format!(
            "run `{}` has no table `scores`; a run writes it where its pipeline has `score` or `train`",
            run.name
        )));
    }
    let mut all = Scores::new();
    for path in files {
        let failed = |problem: String| QueryError::Table {
            path: path.clone(),
            problem,
        };
        for batch in read_batches(path).map_err(|e| failed(causes(&e)))? {
            let column = |name: &str, dtype: &DataType| {
                let column = batch.column_by_name(name);
                let column = column.ok_or_else(|| failed(format!("it has no column `{name}`")))?;
                cast(column, dtype).map_err(|e| failed(format!("column `{name}`: {e}")))
            };
            let text = |name| column(name, &DataType::Utf8);
            let (split, checkpoint) = (text("split")?, text("checkpoint")?);
            let (modality, class, subject) =
                (text("modality")?, text("class")?, text("subject_id")?);
            let number = column("class_id", &DataType::Int32)?;
            let value = column(figure, &DataType::Float64)?;
            let at = |column: &ArrayRef, i: usize| column.as_string::<i32>().value(i).to_owned();
            for i in 0..batch.num_rows() {
                let number = number.as_primitive::<Int32Type>().value(i);
                if number == 0 {
                    continue;
                }
                let group = (
                    at(&split, i),
                    at(&checkpoint, i),
                    at(&modality, i),
                    Some((number, at(&class, i))),
                );
                let value = value.as_primitive::<Float64Type>();
                let value = (value.is_valid(i))
                    .then(|| value.value(i))
                    .filter(|v| v.is_finite());
                all.entry(group).or_default().insert(at(&subject, i), value);
            }
        }
    }
    Ok(with_means(all))
}

/// Adds the mean over the classes of each subject, as the class `None`; regions overlap them and are not
/// in it.
fn with_means(mut scores: Scores) -> Scores {
    let mut classes: BTreeMap<Group, BTreeMap<String, Vec<Option<f64>>>> = BTreeMap::new();
    let is_class = |group: &Group| group.3.as_ref().is_some_and(|(number, _)| *number > 0);
    for ((split, checkpoint, modality, _), values) in scores.iter().filter(|s| is_class(s.0)) {
        let group = (split.clone(), checkpoint.clone(), modality.clone(), None);
        let subjects = classes.entry(group).or_default();
        for (subject, value) in values {
            subjects.entry(subject.clone()).or_default().push(*value);
        }
    }
    for (group, subjects) in classes {
        let means = subjects
            .into_iter()
            .map(|(subject, values)| (subject, mean(values)));
        scores.insert(group, means.collect());
    }
    scores
}

/// The columns of an answer.
pub(super) fn schema() -> arrow::datatypes::SchemaRef {
    table(&[], FIGURES[0]).schema()
}

fn table(rows: &[(Group, Vec<(f64, f64)>)], figure: &str) -> RecordBatch {
    let unit = if figure.ends_with("_mm") {
        "mm"
    } else if figure.ends_with("_ml") {
        "ml"
    } else {
        "1"
    };
    let tests: Vec<Option<Paired>> = (rows.iter())
        .map(|(_, pairs)| paired(&pairs.iter().map(|(a, b)| b - a).collect::<Vec<_>>()))
        .collect();
    let text = |of: fn(&Group) -> Option<&str>| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|(group, _)| of(group))
                .collect::<StringArray>(),
        )
    };
    let count = |of: fn(&(f64, f64)) -> bool| -> ArrayRef {
        let count = |pairs: &Vec<(f64, f64)>| pairs.iter().filter(|p| of(p)).count() as i64;
        Arc::new(
            rows.iter()
                .map(|(_, pairs)| Some(count(pairs)))
                .collect::<Int64Array>(),
        )
    };
    let means = |of: fn(&(f64, f64)) -> f64| -> ArrayRef {
        let mean = |pairs: &Vec<(f64, f64)>| mean(pairs.iter().map(|p| Some(of(p))));
        Arc::new(
            rows.iter()
                .map(|(_, pairs)| mean(pairs))
                .collect::<Float64Array>(),
        )
    };
    let tested = |of: fn(&Paired) -> Option<f64>| -> ArrayRef {
        let of = |test: &Option<Paired>| test.as_ref().and_then(of);
        Arc::new(tests.iter().map(of).collect::<Float64Array>())
    };
    let columns: Vec<(&str, &str, &str, ArrayRef)> = vec![
        (
            "split",
            "",
            "Part of the cohort: train, validation or test.",
            text(|g| Some(&g.0)),
        ),
        (
            "checkpoint",
            "",
            "Weights the predictions were made with.",
            text(|g| Some(&g.1)),
        ),
        (
            "modality",
            "",
            "Modality whose prediction head made the label maps.",
            text(|g| Some(&g.2)),
        ),
        (
            "class",
            "",
            "Class or region; null for the mean over the classes of a subject.",
            text(|g| g.3.as_ref().map(|(_, name)| name.as_str())),
        ),
        (
            "subjects",
            "subjects",
            "Subjects that both runs scored.",
            count(|_| true),
        ),
        ("mean_a", unit, "Mean of the first run.", means(|p| p.0)),
        ("mean_b", unit, "Mean of the second run.", means(|p| p.1)),
        (
            "difference",
            unit,
            "Mean difference, second minus first.",
            tested(|t| Some(t.mean)),
        ),
        (
            "low",
            unit,
            "Lower end of the 95 % bootstrap interval of the difference; null for one subject.",
            tested(|t| t.interval.map(|i| i[0])),
        ),
        (
            "high",
            unit,
            "Upper end of it.",
            tested(|t| t.interval.map(|i| i[1])),
        ),
        (
            "b_higher",
            "subjects",
            "Subjects with a higher value in the second run.",
            count(|(a, b)| b > a),
        ),
        (
            "b_lower",
            "subjects",
            "Subjects with a lower value in the second run.",
            count(|(a, b)| b < a),
        ),
        (
            "wilcoxon",
            "",
            "Smaller rank sum of the paired Wilcoxon test; null if all values are equal.",
            tested(|t| t.wilcoxon),
        ),
        (
            "p_value",
            "1",
            "Two-sided p value of the test, not corrected for the number of rows.",
            tested(|t| t.p_value),
        ),
    ];
    let fields: Vec<Field> = (columns.iter())
        .map(|(name, unit, doc, column)| {
            let mut metadata =
                std::collections::HashMap::from([(DOC_KEY.to_owned(), (*doc).to_owned())]);
            if !unit.is_empty() {
                metadata.insert(UNIT_KEY.to_owned(), (*unit).to_owned());
            }
            Field::new(*name, column.data_type().clone(), true).with_metadata(metadata)
        })
        .collect();
    let columns = columns.into_iter().map(|(.., column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .expect("the columns have one length")
}
