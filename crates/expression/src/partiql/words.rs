//! What DynamoDB says of statements that it does not take.

pub(super) fn malformed(what: &str) -> String {
    format!("Statement wasn't well formed, can't be processed: {what}")
}

pub(super) const PARAMETERS: &str = "Number of parameters in request and statement don't match.";
pub(super) const STAR_AND_MORE: &str =
    "Other attributes should not be present in the projection when '*' is used.";
pub(super) const VALUE_OR_PIVOT: &str = "Select projection doesn't support value or pivot keywords";
pub(super) const ALIAS: &str = "Aliasing is not supported";
pub(super) const SEVERAL_SOURCES: &str = "Only select from a single table or index is supported.";
pub(super) const DEEP_SOURCE: &str = "A path may contain at most 2 components in the FROM clause";
pub(super) const EMPTY_SOURCE: &str = "Path component cannot be an empty string";
pub(super) const LIST_SOURCE: &str = "Invalid list expression in source.";
pub(super) const SEVERAL_ITEMS: &str = "Unsupported operation: Inserting multiple items in a single statement is not supported, use \"INSERT INTO tableName VALUE item\" instead";
pub(super) const NO_STRUCT: &str = "Unsupported format in item expression. Please use struct format {...} to express item values for insert statement.";
pub(super) const CONFLICT: &str =
    "Invalid conflict action. Only \"DO NOTHING\" action is supported.";
pub(super) const RETURNING_INSERT: &str = "RETURNING is not supported in INSERT";
pub(super) const RETURNING_STAR: &str =
    "Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause";
pub(super) const RETURNING_SEVERAL: &str =
    "Invalid syntax with multiple returning elements in RETURNING clause";
pub(super) const BAD_IN: &str = "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq with at least one member";
pub(super) const BAD_IS: &str =
    "The left hand side argument to IS must be a Variable Reference, Literal, or Path";
pub(super) const BARE_MISSING: &str = "MISSING must be compared using IS operator";
pub(super) const NOT_BOOLEAN: &str =
    "WHERE clause must contain an expression that resolves to a boolean";
pub(super) const NOT_OPERAND: &str = "The argument to NOT must be a Type or Expression";
pub(super) const AND_OR_OPERAND: &str = "The arguments to AND/OR must be Expressions";
pub(super) const EMPTY_BAG: &str = "Empty bags are not supported";
pub(super) const MIXED_BAG: &str =
    "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags";
pub(super) const UPDATE_ACTION: &str =
    "Only SET and REMOVE are supported in update expressions at this time";
pub(super) const SEVERAL_STATEMENTS: &str = "Only one operation is allowed in a statement.";
pub(super) const STAR_IN_PATH: &str = "Unpivot path component like a.*.b are not supported";
pub(super) const STAR_IN_LIST: &str = "Wildcard path component like a[*].b are not supported";
pub(super) const LIST_INDEX: &str = "List index is not within the allowable range; index: ";
pub(super) const LIST_FIRST: &str = "A path cannot start with a list index";
pub(super) const TOO_DEEP: &str = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit";
