//! `cleanroom`: a privacy-preserving data clean room, as a server and as a program that needs none.
//!
//! This package is the outside: command line, REST, console, configuration and rendering. All of its doors lead to
//! [`cleanroom_vault::Vault::answer`]; none has another way to a row.

mod answer;
mod client;
mod command;
mod config;
mod console;
mod embedded;
mod exit;
mod fault;
mod http;
mod listing;
mod mirror;
mod operator_log;
mod output;
mod render;
mod signature_file;
mod target;
mod template_file;
mod trail;
mod witness;

pub use command::main;
