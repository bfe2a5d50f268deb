use super::*;
use proptest::prelude::*;

fn or_chain(terms: usize) -> String {
    format!(
        "permit(principal, action, resource) when {{ {} }};",
        vec!["context.path == \"/\""; terms].join(" || ")
    )
}

#[test]
fn ordinary_policies_are_within_bounds() {
    check(&or_chain(100)).unwrap();
    check(&or_chain(100).repeat(10)).unwrap();
}

#[test]
fn long_chains_and_deep_brackets_are_refused_with_their_line() {
    let diagnostic = check(&format!("\n// first\n{}", or_chain(200))).unwrap_err();
    assert_eq!(diagnostic.line, Some(3));
    assert!(diagnostic.message.contains("nests deeper than 128"), "{diagnostic:?}");
    for deep in ["(", "[", "!", "if true then 1 else ", "context.a", "-", "{\"a\":"] {
        check(&deep.repeat(200)).unwrap_err();
    }
    check(&format!("context{}", "[\"a\"]".repeat(200))).unwrap_err();
}

#[test]
fn brackets_and_operators_in_strings_and_comments_do_not_count() {
    check(&format!("// {}\n", "(".repeat(500))).unwrap();
    check(&format!("\"{}\\\"{}\"", "(".repeat(500), "(".repeat(500))).unwrap();
}

#[test]
fn flat_lists_do_not_nest() {
    check(&format!("[{}]", "1, ".repeat(5_000))).unwrap();
}

#[test]
fn too_many_policies_and_tokens_are_refused() {
    let policy = "permit(principal, action, resource);\n";
    check(&policy.repeat(MAX_POLICIES)).unwrap();
    assert_eq!(check(&policy.repeat(MAX_POLICIES + 1)).unwrap_err().line, Some(1_001));
    assert!(check(&format!("[{}]", "1,".repeat(MAX_TOKENS))).unwrap_err().message.contains("tokens"));
}

proptest! {
    #[test]
    fn any_text_is_scanned_to_its_end(text in "\\PC*") {
        let _ = check(&text);
    }

    #[test]
    fn depth_never_goes_below_zero(text in "[(){}\\[\\],;.!&|+\"a/\\\\ \n-]{0,200}") {
        let _ = check(&text);
    }
}
