//! Of bodies that come in parts.

use super::{judged, mutant, Judge, Mutant, LOG_TESTS};

pub(super) const LONG_BODIES: &[Mutant] = &[
    // Of what is not in a transaction the model asks each queue alone.
    Mutant {
        name: "records of one long message in different blocks",
        judge: Judge::UnitTests("log::tests::bodies::"),
        file: "log/bodies.rs",
        from: "self.keep_together(now, bytes + settle_bytes, references.len() as u32);",
        to: "let _ = bytes;",
    },
    mutant(
        "references of the message begun last taken for those of any",
        "log/recovery/parts.rs",
        "let begun = entries.first().and_then(|first| self.begun.get(&first.address()));",
        "let latest = self.latest.filter(|_| !entries.is_empty());
        let begun = latest.and_then(|latest| self.begun.get(&latest));",
    ),
    mutant(
        "a body that is given up keeps its segments",
        "log/bodies.rs",
        "        let parts = self.open_bodies.take(body);
        self.let_go_parts(&parts.entries);",
        "        let _ = self.open_bodies.take(body);",
    ),
    mutant(
        "parts of a body under way keep no segment",
        "log/bodies.rs",
        "self.segments.tail_mut().pin(entry.record_bytes());",
        "if references != NO_REFERENCES {
            self.segments.tail_mut().pin(entry.record_bytes());
        }",
    ),
    mutant(
        "a part that was moved is still looked for where it was",
        "log/bodies.rs",
        ".map(|held| std::mem::replace(held, entry))",
        ".map(|held| *held)",
    ),
    mutant(
        "the end of a body is forgotten",
        "shard/publish.rs",
        "body.add(store, now, message.body);",
        "body.add(store, now, &[]);",
    ),
    mutant(
        "parts that were given up come with the next body",
        "shard/bodies.rs",
        "        if let Some(body) = self.bodies.take(channel) {
            body.forget(&mut self.store);
        }",
        "        if channel.channel == 0 {
            let _ = self.bodies.take(channel).map(|body| body.forget(&mut self.store));
        }",
    ),
    Mutant {
        name: "parts of a body under way stay where they are",
        judge: Judge::UnitTests("log::tests::bodies::"),
        file: "log/copying.rs",
        from: "let is_done = self.copy_part(now, address, &part, parts);",
        to: "let is_done = part.references != u32::MAX;",
    },
    mutant(
        "a body that is read does not hold its parts",
        "log/bodies.rs",
        "let parts = self.share(&Parts { entries, bytes });",
        "let parts = Parts { entries, bytes };",
    ),
    mutant(
        "parts go with the first of those who hold them",
        "log/parts.rs",
        "let Some(holders) = self.holders.get_mut(&part) else { return true };",
        "let Some(holders) = self.holders.get_mut(&part).filter(|_| false) else { return true };",
    ),
    mutant(
        "after a start parts go with the first of those who hold them",
        "log/parts.rs",
        "self.holders.retain(|_, holders| *holders > 1);",
        "self.holders.clear();",
    ),
    mutant(
        "a copy names parts where they were",
        "log/victim_parts.rs",
        "                *part = *moved;",
        "                let _ = moved;",
    ),
    mutant(
        "the body of a dead letter is forgotten",
        "shard/moving.rs",
        "((), body) = self.store.begin_long(dead.slot(), write)?;",
        "((), body) = self.store.begin_long(dead.slot(), write)?;
            if let Some(body) = body.take() {
                body.forget(&mut self.store);
            }",
    ),
    mutant(
        "a decided transaction does not keep its long bodies",
        "shard/transactions/journal.rs",
        "self.write_body(now, number, index);",
        "let _ = index;",
    ),
    // To let go of bodies before the journal record at the end would break nothing: all have marked what they have
    // put by then, and none is put again for want of its body.
    mutant(
        "a start lets go of the bodies of what it carries out again",
        "shard/transactions/journal.rs",
        "            self.shipping.hold(number, index, body.into_log(&mut self.store, self.clock));",
        "            self.shipping.hold(number, index, body.into_log(&mut self.store, self.clock));
            self.let_go(self.clock, body_name(number, index));",
    ),
    mutant(
        "a shard is asked to carry out what it has no body for",
        "shard/shipping.rs",
        "let is_ready = bodies.is_empty() && !waits;",
        "let is_ready = !waits;",
    ),
    mutant(
        "a part of a body is sent twice",
        "shard/shipping.rs",
        "                    first.part += 1;
",
        "                    first.part += usize::from(lane.under_way != 1 || first.part != 2);
",
    ),
    mutant(
        "bodies that nobody reads any more are held for ever",
        "shard/readings.rs",
        "        store.log.drop_body(ended.body);
",
        "        let _ = ended.body;
",
    ),
    judged(
        LOG_TESTS,
        "a record believed without its parts",
        "log/recovery/parts.rs",
        "entries.iter().all(is_there) && message.content_bytes() == Some(bytes)",
        "(entries.iter().all(is_there) || !entries.is_empty()) && message.content_bytes() == Some(bytes)",
    ),
];
