// Included where entries are tested: by what writes them, and by what verifies them.

/// One event of each kind, with all its fields.
fn one_of_each() -> Vec<Event> {
    let digest = Digest::sha256_of(b"");
    let table = "retailer.purchases".to_owned();
    let template = TemplateReference { name: "reach".to_owned(), digest };
    let member = Member {
        partner: "agency".to_owned(),
        abilities: vec!["query".to_owned(), "receive".to_owned()],
        key: None,
        signature: None,
        since: None,
        rotation: None,
    };
    vec![
        RoomPut { digest, strict: Some(true), members: vec![member] }.into(),
        PolicyActive {
            table: table.clone(),
            version: 3,
            digest,
            previous: Some(digest),
            templates: None,
            signature: None,
        }
        .into(),
        PolicyActive {
            table: table.clone(),
            version: 4,
            digest,
            previous: Some(digest),
            templates: Some(vec![template.clone()]),
            signature: Some(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [1; 68])),
        }
        .into(),
        TemplatePut { name: "reach".to_owned(), digest, previous: Some(digest) }.into(),
        TableVersion { table: table.clone(), version: 2, schema: digest, content: digest }.into(),
        TokenIssued { partner: None, role: Role::Admin, token: "t_1".to_owned() }.into(),
        TokenRevoked { token: "t_1".to_owned() }.into(),
        QueryIntent {
            sql: digest,
            plan: digest,
            policies: vec![PolicyReference { table: table.clone(), digest }],
            tables: vec![TableReference { table, version: 2 }],
            charge: vec![Charge {
                table: "retailer.purchases".to_owned(),
                space: "household".to_owned(),
                rho: u64::MAX.checked_shr(1).unwrap().to_string(),
                delta: "0".to_owned(),
                epsilon: None,
            }],
            replay: None,
            template: Some(template.clone()),
            params: Some(digest),
        }
        .into(),
        QueryPriced { sql: digest, outcome: PricedOutcome::Refused, template: None, params: None }.into(),
        QueryRefused { sql: digest, code: "CR2104".to_owned(), template: Some(template), params: None }.into(),
        QueryOutcome { status: OutcomeStatus::Released, code: None, result: Some(digest) }.into(),
        ResultDelivered { query: 6, to: "agency".to_owned(), format: "csv".to_owned() }.into(),
    ]
}
