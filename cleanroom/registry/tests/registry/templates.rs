use cleanroom_log::{Entry, Event};
use cleanroom_policy::{Template, parse_policy, parse_template};
use cleanroom_registry::{Actor, Change, Door, Intent, QueryId, RegistryError, Replace, TemplateUse};

use crate::house::{House, agency, intent, policy_text, purchases, released, room_name, verified};

fn text(condition: &str) -> String {
    format!(
        "apiVersion: cleanroom/v1\nkind: Template\nname: reach\nsql: SELECT COUNT(DISTINCT household_id) FROM retailer.purchases {condition}\n"
    )
}

fn template(condition: &str) -> Template {
    parse_template("reach.yaml", &text(condition)).unwrap()
}

fn partner(actor: &str) -> Actor {
    Actor {
        partner: Some(cleanroom_policy::PartnerName::new(actor).unwrap()),
        token_id: Some("t1".to_owned()),
        door: Door::Rest,
    }
}

impl House {
    async fn put(&self, condition: &str, actor: &Actor, replace: Replace) -> Result<Change, RegistryError> {
        self.registry.put_template(&room_name(), &template(condition), &text(condition), actor, replace).await
    }

    async fn approve(&self, version: u64, templates: &str) -> Result<Change, RegistryError> {
        let text = policy_text(version, 25)
            .replace("analysts: [agency]", &format!("analysts: [agency], templates: [{templates}]"));
        assert!(text.contains("templates:"), "{text}");
        let policy = parse_policy("policy.yaml", &text).unwrap();
        self.registry.put_policy(&room_name(), &policy, &text, &Actor::operator()).await
    }

    async fn approved(&self) -> Vec<String> {
        let record = self.registry.policy(&room_name(), &purchases()).await.unwrap().unwrap();
        record.approved.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_template_is_replaced_by_its_author_and_the_operator_alone() {
    let house = House::furnished().await;
    let (agency, other) = (partner("agency"), partner("retailer"));
    assert_eq!(house.put("", &agency, Replace::Own).await.unwrap(), Change::Created);
    assert_eq!(house.put("", &other, Replace::Own).await.unwrap(), Change::Unchanged);
    assert!(matches!(house.put("WHERE a", &other, Replace::Own).await, Err(RegistryError::TemplateTaken(_))));
    assert_eq!(house.put("WHERE a", &agency, Replace::Own).await.unwrap(), Change::Updated);
    assert_eq!(house.put("WHERE b", &Actor::operator(), Replace::Any).await.unwrap(), Change::Updated);
    // The author stays the author.
    assert_eq!(house.put("WHERE c", &agency, Replace::Own).await.unwrap(), Change::Updated);
    let record = house.registry.template(&room_name(), &template("").name).await.unwrap().unwrap();
    assert_eq!((record.version, record.digest), (4, template("WHERE c").digest()));
    assert_eq!(house.registry.templates(&room_name()).await.unwrap().len(), 1);
    let foreign =
        house.registry.put_template(&room_name(), &template(""), &text("WHERE d"), &agency, Replace::Own).await;
    assert!(matches!(foreign, Err(RegistryError::TemplateText(_))));
    verified(&house.registry);
}

#[tokio::test]
async fn an_approval_is_of_the_content_that_stood_when_it_was_given() {
    let house = House::furnished().await;
    assert!(matches!(house.approve(2, "reach").await, Err(RegistryError::NoSuchTemplate { .. })));
    house.put("", &partner("agency"), Replace::Own).await.unwrap();
    house.approve(2, "reach").await.unwrap();
    let first = format!("reach@{}", template("").digest());
    assert_eq!(house.approved().await, std::slice::from_ref(&first));
    house.put("WHERE a", &partner("agency"), Replace::Own).await.unwrap();
    assert_eq!(house.approved().await, std::slice::from_ref(&first));
    // The same policy again is no new approval; a higher version is.
    assert_eq!(house.approve(2, "reach").await.unwrap(), Change::Unchanged);
    assert_eq!(house.approved().await, std::slice::from_ref(&first));
    house.approve(3, "reach").await.unwrap();
    assert_eq!(house.approved().await, [format!("reach@{}", template("WHERE a").digest())]);
    // By digest an owner approves what it read, whatever stands in the room.
    house.approve(4, &first).await.unwrap();
    assert_eq!(house.approved().await, [first]);
    verified(&house.registry);
}

#[tokio::test]
async fn a_question_names_the_template_it_came_through() {
    let house = House::furnished().await;
    house.put("", &partner("agency"), Replace::Own).await.unwrap();
    let through = |content: &str, id: &QueryId| Intent {
        template: Some(TemplateUse { name: template("").name, digest: template(content).digest() }),
        params: Some("{}".to_owned()),
        ..intent(id)
    };
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(through("", &id)).await.unwrap();
    house.registry.record(pending, released()).await.unwrap();
    let record = house.registry.query(&room_name(), &id).await.unwrap().unwrap();
    assert_eq!((record.analyst, record.params.as_deref()), (agency(), Some("{}")));
    assert_eq!(record.template.unwrap().digest, template("").digest());
    let entries = house.registry.log_entries(&room_name(), 4, 1).await.unwrap();
    let Event::QueryIntent(entry) = Entry::parse(entries.first().unwrap().json.as_bytes()).unwrap().event else {
        panic!("not the entry of an intent")
    };
    assert_eq!(entry.template.unwrap().digest.hex(), template("").digest());
    assert!(entry.params.is_some());
    // Replaced since the question was checked.
    house.put("WHERE a", &partner("agency"), Replace::Own).await.unwrap();
    let late = house.registry.reserve(through("", &QueryId::generate().unwrap())).await;
    assert!(matches!(late, Err(RegistryError::TemplateChanged(_))));
    verified(&house.registry);
}
