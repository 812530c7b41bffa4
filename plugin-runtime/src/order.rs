//! The order of `init` (`plugins §3.1`): providers before consumers; where dependencies leave a
//! choice, the host's order. Pure.

/// Orders `0..n`; `needs[i]` lists what must come before `i`. Errors with the members of one cycle,
/// in the order of their dependencies.
pub(crate) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let n = needs.len();
    let mut done = vec![false; n];
    let mut order = Vec::with_capacity(n);
    while order.len() < n {
        let ready = (0..n).find(|&i| !done[i] && needs[i].iter().all(|&d| done[d] || d == i));
        match ready {
            Some(i) => {
                done[i] = true;
                order.push(i);
            }
            None => return Err(cycle(needs, &done)),
        }
    }
    Ok(order)
}

/// Every plugin left waits for one that is left too, so following dependencies must come round.
fn cycle(needs: &[Vec<usize>], done: &[bool]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = (0..needs.len()).find(|&i| !done[i]);
    while let Some(i) = at {
        if let Some(start) = path.iter().position(|&p| p == i) {
            return path.split_off(start);
        }
        path.push(i);
        at = needs[i].iter().copied().find(|&d| !done[d] && d != i);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_come_first_and_ties_keep_host_order() {
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![0], vec![0]]), Ok(vec![0, 1]));
    }

    #[test]
    fn a_cycle_names_its_members_only() {
        assert_eq!(order(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2]));
        assert_eq!(
            order(&[vec![], vec![2], vec![3], vec![1]]),
            Err(vec![1, 2, 3])
        );
    }
}
