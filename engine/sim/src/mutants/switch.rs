//! Many mutants in one build: the body of a function that one of them changes becomes a choice between the body as it
//! is and the body as it would be. A number that the process is given says which.
//!
//! Only texts are looked at, as `rustfmt` leaves them: what begins a function, and the brace at the same depth that
//! ends it. A text that is taken to pieces wrongly does not build.

use std::fmt::Write as _;
use std::ops::Range;

use super::{apply, Mutant};

/// What the number of the mutant is called in the environment of the process. Nothing, or 0: none of them.
pub const VARIABLE: &str = "HAREMQ_MUTANT";

/// Goes behind the root module of the engine.
pub const ROOT: &str = "
/// The number of the mutant that this process is.
pub(crate) fn mutant() -> usize {
    static NUMBER: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| {
        let number = std::env::var(\"HAREMQ_MUTANT\").ok();
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    })
}
";

/// The file's text with a choice for each of these mutants, all of which are of that file; and the numbers of those
/// that cannot be chosen so.
///
/// # Errors
/// A mutant does not apply.
pub fn switched(text: &str, mutants: &[(usize, &Mutant)]) -> Result<(String, Vec<usize>), String> {
    let (mut chosen, mut left_out) = (Vec::<(Range<usize>, usize, String)>::new(), Vec::new());
    for &(number, mutant) in mutants {
        let changed = apply(mutant, text)?;
        let at = text.find(mutant.from).unwrap_or_default();
        let body = body_around(text, at..at + mutant.from.len());
        let crosses = |body: &Range<usize>| {
            let overlaps = |one: &Range<usize>| one.start < body.end && body.start < one.end;
            chosen.iter().any(|(one, _, _)| one != body && overlaps(one))
        };
        match body.filter(|body| !crosses(body)) {
            Some(body) => {
                let end = changed.len() - (text.len() - body.end);
                let broken = changed[body.start..end].to_owned();
                chosen.push((body, number, broken));
            }
            None => left_out.push(number),
        }
    }
    chosen.sort_by_key(|(body, number, _)| (body.start, *number));
    let (mut made, mut done) = (String::new(), 0);
    for of_body in chosen.chunk_by(|one, next| one.0 == next.0) {
        let Range { start, end } = of_body[0].0;
        made.push_str(&text[done..start]);
        made.push_str("match crate::mutant() {\n");
        for (_, number, broken) in of_body {
            let _ = writeln!(made, "{number} => {{\n{broken}}}");
        }
        let _ = writeln!(made, "_ => {{\n{}}}\n}}", &text[start..end]);
        done = end;
    }
    made.push_str(&text[done..]);
    Ok((made, left_out))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Begins a function that is called when the process runs.
fn begins_function(line: &str) -> bool {
    let line = line.trim_start();
    let line = match line.split_once(')') {
        Some((seen_by, rest)) if seen_by.starts_with("pub(") => rest,
        _ => line.strip_prefix("pub").unwrap_or(line),
    };
    line.trim_start().starts_with("fn ")
}

/// The lines between the braces of the innermost function that has all of this. `None`: there is none, or its bodies
/// could be of different types.
fn body_around(text: &str, change: Range<usize>) -> Option<Range<usize>> {
    let mut lines: Vec<(usize, &str)> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        lines.push((start, line.trim_end_matches('\n')));
        start += line.len();
    }
    let first = lines.iter().rposition(|(start, _)| *start <= change.start)?;
    for at in (0..first).rev() {
        let (_, line) = lines[at];
        if !begins_function(line) {
            continue;
        }
        let depth = indent(line);
        let opens = (at..first).find(|at| lines[*at].1.ends_with('{'))?;
        let signature = lines[at..=opens].iter().map(|(_, line)| *line);
        let is_end = |(_, line): &&(usize, &str)| *line == format!("{}}}", " ".repeat(depth));
        let Some((end, _)) = lines[opens..].iter().find(is_end) else { continue };
        if *end >= change.end {
            let has_opaque_type = signature.collect::<String>().contains("-> impl ");
            return (!has_opaque_type).then_some(lines[opens + 1].0..*end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::Judge;

    const TEXT: &str = "\
impl Some {
    pub(in crate::some) fn first(
        &self,
    ) -> usize {
        fn nested() -> usize {
            7
        }
        if self.is {
            return 1 + nested();
        }
        2
    }

    const fn third() -> usize {
        3
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.all.iter().copied()
    }
}
";

    fn mutant(from: &'static str, to: &'static str) -> Mutant {
        Mutant { name: "one", judge: Judge::Simulator, file: "", from, to }
    }

    #[test]
    fn bodies_of_functions_become_a_choice() {
        let mutants = [
            mutant("return 1 +", "return 4 +"),
            mutant("        2\n", "        5\n"),
            mutant("7", "8"),
        ];
        let all: Vec<_> = (1..).zip(&mutants).collect();
        let (made, left_out) = switched(TEXT, &all).expect("they apply");
        // The nested function is within a body that is chosen already.
        assert_eq!(left_out, [3]);
        let of_first = "{
        fn nested() -> usize {
            7
        }
        if self.is {
            return 4 + nested();
        }
        2
}
2 => {";
        assert!(made.contains(of_first), "{made}");
        assert_eq!(made.matches("match crate::mutant()").count(), 1);
        assert_eq!(made.matches("        5\n").count(), 1);
    }

    #[test]
    fn what_is_no_choice_while_the_process_runs_is_left_out() {
        let mutants = [mutant("3", "4"), mutant("self.all.iter()", "self.all.iter().skip(1)")];
        let all: Vec<_> = (1..).zip(&mutants).collect();
        let (made, left_out) = switched(TEXT, &all).expect("they apply");
        assert_eq!((made.as_str(), left_out.as_slice()), (TEXT, &[1, 2][..]));
    }
}
