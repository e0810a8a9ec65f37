//! Numbers with the nouns they count, for messages.

/// A count with its noun: `1 subject`, `5 subjects`, `2 modalities`.
///
/// The noun is in the singular and forms its plural regularly.
pub fn counted(count: impl TryInto<usize>, noun: &str) -> String {
    // No message counts further.
    let count = count.try_into().unwrap_or(usize::MAX);
    if count == 1 {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{count} {stem}ies"),
        _ => format!("{count} {noun}s"),
    }
}

/// The form of a verb that agrees with a count: `one` for 1, else `many`, such as `is` and `are`.
pub fn agreeing<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    match count {
        1 => one,
        _ => many,
    }
}

#[cfg(test)]
mod tests {
    use super::{agreeing, counted};

    #[test]
    fn nouns_and_verbs_agree_with_their_count() {
        assert_eq!(counted(0, "file"), "0 files");
        assert_eq!(counted(1, "subject"), "1 subject");
        assert_eq!(counted(1, "modality"), "1 modality");
        assert_eq!(counted(3, "modality"), "3 modalities");
        assert_eq!(counted(2, "day"), "2 days");
        let said = [0, 1, 2].map(|n| agreeing(n, "is", "are"));
        assert_eq!(said, ["are", "is", "are"]);
    }
}
