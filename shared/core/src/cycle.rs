//! Finds references that go in a circle (contact and company): what each end refers to waits for the other, unless one goes without the tie first.

use std::collections::HashSet;

use crate::spec::StreamSpec;

/// Marks the references of one connection's streams that lead back to where they come from.
pub fn mark(streams: &mut [StreamSpec]) {
    let edges: Vec<(String, String)> = streams
        .iter()
        .flat_map(|stream| stream.reference_fields().map(|(_, _, target)| (stream.object.clone(), target.to_owned())))
        .collect();
    for stream in streams {
        for field in &mut stream.fields {
            field.in_cycle = field.references.as_deref().is_some_and(|target| leads(&edges, target, &stream.object));
        }
    }
}

/// Whether one object refers to another, directly or through others, or is it.
fn leads(edges: &[(String, String)], from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (HashSet::from([from]), vec![from]);
    while let Some(object) = open.pop() {
        let targets = edges.iter().filter(|(source, _)| source == object).map(|(_, target)| target.as_str());
        open.extend(targets.filter(|target| seen.insert(target)));
    }
    seen.contains(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::spec;
    use crate::spec::FieldSpec;

    fn stream(object: &str, refers_to: &[&str]) -> StreamSpec {
        let template = spec().fields.remove(0);
        let field = |target: &&str| FieldSpec { references: Some((*target).to_owned()), ..template.clone() };
        StreamSpec { object: object.into(), fields: refers_to.iter().map(field).collect(), ..spec() }
    }

    #[test]
    fn only_what_leads_back_is_in_a_cycle() {
        let mut streams = [
            stream("contacts", &["companies"]),
            stream("companies", &["contacts", "regions"]),
            stream("deals", &["contacts"]),
            stream("regions", &["regions"]),
            stream("invoices", &["orders"]),
            stream("orders", &["shipments"]),
            stream("shipments", &["invoices"]),
        ];
        mark(&mut streams);
        let marks: Vec<Vec<bool>> =
            streams.iter().map(|stream| stream.fields.iter().map(|field| field.in_cycle).collect()).collect();
        assert_eq!(marks, [vec![true], vec![true, false], vec![false], vec![true], vec![true], vec![true], vec![true]]);
    }
}
