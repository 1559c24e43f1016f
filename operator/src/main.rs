//! s
fn main() {
    print!(
        "{}",
        serde_saphyr::to_string(&wse_operator::api::crd()).unwrap()
    );
}
