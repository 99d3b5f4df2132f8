//! Which command was meant, by Jaro distance as rabbitmqctl measures it.

/// Names less alike than this are not suggested.
const LEAST_LIKENESS: f64 = 0.8;

/// The name most like `word`, if any is like it.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (jaro(word, name), name))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// 1 for the same text, 0 for nothing in common.
fn jaro(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.is_empty() || b.is_empty() {
        return if a == b { 1.0 } else { 0.0 };
    }
    let window = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut from_a = Vec::new();
    for (i, letter) in a.iter().enumerate() {
        let last = (i + window + 1).min(b.len());
        let match_at = (i.saturating_sub(window)..last).find(|&j| !taken[j] && b[j] == *letter);
        if let Some(j) = match_at {
            taken[j] = true;
            from_a.push(*letter);
        }
    }
    if from_a.is_empty() {
        return 0.0;
    }
    let from_b = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let swapped = from_a.iter().zip(from_b).filter(|(x, y)| x != y).count();
    let matches = from_a.len() as f64;
    let ordered = (matches - swapped as f64 / 2.0) / matches;
    (matches / a.len() as f64 + matches / b.len() as f64 + ordered) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["list_queues", "change_password", "ping", "list_vhosts"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        for (word, meant) in [
            ("list_queue", "list_queues"),
            ("list_quees", "list_queues"),
            ("hash_password", "change_password"),
        ] {
            assert_eq!(nearest(word, NAMES.into_iter()), Some(meant), "{word}");
        }
    }

    #[test]
    fn a_word_like_none_gets_no_suggestion() {
        assert_eq!(nearest("bogus_cmd", NAMES.into_iter()), None);
        assert_eq!(nearest("zzz", NAMES.into_iter()), None);
        assert_eq!(nearest("", NAMES.into_iter()), None);
    }

    #[test]
    fn likeness_of_known_pairs() {
        assert!((jaro("MARTHA", "MARHTA") - 0.944_444).abs() < 1e-5);
        assert!((jaro("DIXON", "DICKSONX") - 0.766_667).abs() < 1e-5);
    }
}
