//! Numbers of things in words.

/// "1 chain", "2 chains".
pub(crate) fn counted(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "chain")), ["0 chains", "1 chain", "2 chains"]);
    }
}
