//! The rule of operators: each is named, and what is not listed is refused.

use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator};

use super::arithmetic::arithmetic;
use super::comparison::compared;
use super::keys::refuse_key;
use super::{Scope, expression};
use crate::check::label::Label;
use crate::refusal::{Code, Refusal};

pub(super) fn binary_expression(binary: &BinaryExpr, scope: &Scope<'_>) -> Result<(Expr, Label), Refusal> {
    let BinaryExpr { left, op, right } = binary;
    match op {
        Operator::And | Operator::Or | Operator::StringConcat => {
            let (left_total, left_label) = expression(left, scope)?;
            refuse_key(left, &left_label, scope)?;
            let (right_total, right_label) = expression(right, scope)?;
            refuse_key(right, &right_label, scope)?;
            Ok((rebuilt(left_total, *op, right_total), Label::computed([&left_label, &right_label])))
        }
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom => {
            let ([left, right], label) = compared([left.as_ref(), right.as_ref()], scope)?;
            Ok((rebuilt(left, *op, right), label))
        }
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
            arithmetic(binary, scope)
        }
        Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch
        | Operator::LikeMatch
        | Operator::ILikeMatch
        | Operator::NotLikeMatch
        | Operator::NotILikeMatch
        | Operator::BitwiseAnd
        | Operator::BitwiseOr
        | Operator::BitwiseXor
        | Operator::BitwiseShiftRight
        | Operator::BitwiseShiftLeft
        | Operator::AtArrow
        | Operator::ArrowAt
        | Operator::Arrow
        | Operator::LongArrow
        | Operator::HashArrow
        | Operator::HashLongArrow
        | Operator::AtAt
        | Operator::IntegerDivide
        | Operator::HashMinus
        | Operator::AtQuestion
        | Operator::Question
        | Operator::QuestionAnd
        | Operator::QuestionPipe
        | Operator::Colon => {
            Err(Refusal::new(Code::Function, format!("the operator `{op}` is not allowed on protected rows"))
                .about(op.to_string()))
        }
    }
}

/// Two operands under an operator.
pub(super) fn rebuilt(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}
