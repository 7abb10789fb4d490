//! TEMPORARY, replaced by tokenize/
#![allow(missing_docs)]
use crate::RoomKey;
pub struct TokenizeOptions { pub input: std::path::PathBuf, pub output: std::path::PathBuf, pub key: RoomKey, pub columns: Vec<(String,String)>, pub region: Option<String>, pub skip_bad: bool, pub force: bool }
pub struct TokenizeReport { pub rows: u64, pub tokenised: u64, pub nulls: u64, pub bad: u64 }
#[derive(Debug, thiserror::Error)] #[error("stub")] pub struct TokenizeError;
pub struct TerminalProgress; impl TerminalProgress { pub fn new() -> Self { Self } }
pub fn tokenize(_o: &TokenizeOptions, _p: &TerminalProgress) -> Result<TokenizeReport, TokenizeError> { Err(TokenizeError) }
