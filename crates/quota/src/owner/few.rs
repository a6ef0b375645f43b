//! A map of few entries.

/// A map whose entries lie side by side in the order of their keys. A counter is used by one node or two, and there are
/// very many counters: a tree has room for eleven entries at once.
#[derive(Debug, Clone)]
pub(super) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// While there are fewer entries than this, no room is kept for more.
const TIGHT: usize = 4;

impl<K: Copy + Ord, V> Few<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(at, _)| at.cmp(key))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Enters a value, in place of the one of that key if there is one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.enter(at, key, value),
        }
    }

    /// The value of that key, entered first if there is none.
    pub(super) fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(at) => {
                self.enter(at, key, value());
                at
            }
        };
        &mut self.0[at].1
    }

    fn enter(&mut self, at: usize, key: K, value: V) {
        if self.0.len() < TIGHT {
            self.0.reserve_exact(1);
        }
        self.0.insert(at, (key, value));
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_and_stay_in_order() {
        let mut few = Few::default();
        for key in [5, 1, 9, 3, 7, 3] {
            few.insert(key, key * 10);
        }
        assert_eq!(few.keys().copied().collect::<Vec<_>>(), [1, 3, 5, 7, 9]);
        assert_eq!((few.get(&7), few.get(&8)), (Some(&70), None));
        few.values_mut().for_each(|value| *value += 1);
        assert_eq!(few.remove(&5), Some(51));
        few.retain(|key, _| *key > 3);
        assert_eq!(few.iter().collect::<Vec<_>>(), [(&7, &71), (&9, &91)]);
        assert_eq!((few.len(), few.contains_key(&1)), (2, false));
        few.retain(|_, _| false);
        assert!(few.is_empty());
    }
}
