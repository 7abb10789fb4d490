//! Who does something, and through which door.

use cleanroom_policy::PartnerName;

/// Who does something, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The partner on whose behalf; `None` for the operator and the server itself.
    pub partner: Option<PartnerName>,
    /// The public id of the token that was shown.
    pub token_id: Option<String>,
    /// The way in.
    pub door: Door,
}

impl Actor {
    /// The operator, or the program itself.
    pub fn operator() -> Self {
        Self { partner: None, token_id: None, door: Door::Operator }
    }

    /// A partner at the command line, with no server between.
    pub fn embedded(partner: Option<PartnerName>) -> Self {
        Self { partner, token_id: None, door: Door::Embedded }
    }

    pub(crate) fn logged(&self) -> cleanroom_log::Actor {
        cleanroom_log::Actor {
            partner: self.partner.as_ref().map(ToString::to_string),
            door: match self.door {
                Door::Embedded => cleanroom_log::Door::Embedded,
                Door::Rest => cleanroom_log::Door::Rest,
                Door::Operator => cleanroom_log::Door::Operator,
            },
            token: self.token_id.clone(),
        }
    }
}

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The command line on its own data directory.
    Embedded,
    /// REST.
    Rest,
    /// The machine's operator, or the program itself.
    Operator,
}

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the room lets the partner do.
    Member,
    /// Rooms and tokens too.
    Admin,
}

impl Role {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Member => "member",
            Role::Admin => "admin",
        }
    }

    pub(crate) fn logged(self) -> cleanroom_log::Role {
        match self {
            Role::Member => cleanroom_log::Role::Member,
            Role::Admin => cleanroom_log::Role::Admin,
        }
    }
}
