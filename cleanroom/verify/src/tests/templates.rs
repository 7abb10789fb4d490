//! Templates, and the questions that come through them.

use super::*;

fn put(content: &str, previous: Option<&str>) -> TemplatePut {
    TemplatePut { name: "reach".to_owned(), digest: digest(content), previous: previous.map(digest) }
}

/// A story with what questions through templates name besides.
fn with_templates() -> Story {
    let story = Story::begun();
    let log = LogDirectory::open(story.path()).unwrap();
    for blob in ["policy 2", "template", "other template"] {
        log.write_blob(blob.as_bytes()).unwrap();
    }
    story
}

fn through(content: &str) -> TemplateReference {
    TemplateReference { name: "reach".to_owned(), digest: digest(content) }
}

#[test]
fn a_question_comes_through_an_approved_template() {
    let mut story = with_templates();
    story.tell(None, put("template", None));
    story.tell(
        None,
        PolicyActive { templates: Some(vec![through("template")]), ..policy(2, "policy 2", Some("policy 1")) },
    );
    story.tell(Some("q1"), QueryIntent { template: Some(through("template")), ..intent("policy 2", 1) });
    story.tell(Some("q1"), released());
    assert_eq!(story.told(), []);
}

#[test]
fn a_question_through_another_template_is_found() {
    let mut story = with_templates();
    story.tell(None, put("template", None));
    story.tell(
        None,
        PolicyActive { templates: Some(vec![through("template")]), ..policy(2, "policy 2", Some("policy 1")) },
    );
    // In SQL, where the policy approves templates alone.
    let plain = story.tell(Some("q1"), intent("policy 2", 1));
    story.tell(Some("q1"), released());
    // Replaced after the approval.
    story.tell(None, put("other template", Some("template")));
    let replaced =
        story.tell(Some("q2"), QueryIntent { template: Some(through("other template")), ..intent("policy 2", 1) });
    story.tell(Some("q2"), released());
    // Approved, and no longer in force.
    let gone = story.tell(Some("q3"), QueryIntent { template: Some(through("template")), ..intent("policy 2", 1) });
    story.tell(Some("q3"), released());
    let forked = story.tell(None, put("template", None));
    assert_eq!(
        story.told(),
        [
            (Some(plain), Code::TemplateNotApproved),
            (Some(replaced), Code::TemplateNotApproved),
            (Some(gone), Code::Template),
            (Some(forked), Code::Template),
        ]
    );
}

#[test]
fn an_approval_of_nothing_is_no_entry() {
    let mut story = with_templates();
    let entry = story.entry(
        3,
        None,
        PolicyActive { templates: Some(vec![]), ..policy(2, "policy 2", Some("policy 1")) }.into(),
    );
    assert!(entry.to_line().is_err());
}
