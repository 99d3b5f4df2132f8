//! Destinations in an order that does not depend on when they were bound: by name.

/// Each destination once, however many bindings lead to it, with the weights these give it.
#[derive(Debug)]
pub(super) struct Named<D> {
    /// In order of name.
    all: Vec<Place<D>>,
}

#[derive(Debug)]
pub(super) struct Place<D> {
    name: Box<[u8]>,
    /// One for each binding, ascending.
    weights: Vec<u32>,
    /// A list of one.
    destination: [D; 1],
}

impl<D> Place<D> {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The highest of its bindings' weights.
    pub(super) fn weight(&self) -> u32 {
        self.weights.last().copied().unwrap_or(0)
    }

    pub(super) fn as_slice(&self) -> &[D] {
        &self.destination
    }
}

impl<D> Default for Named<D> {
    fn default() -> Self {
        Named { all: Vec::new() }
    }
}

impl<D: Copy + Eq> Named<D> {
    pub(super) fn places(&self) -> &[Place<D>] {
        &self.all
    }

    /// Queues and exchanges may have the same name.
    fn find(&self, name: &[u8], destination: D) -> Result<usize, usize> {
        let start = self.all.partition_point(|place| *place.name < *name);
        let alike = self.all[start..].iter().take_while(|place| *place.name == *name);
        let found = alike.enumerate().find(|(_, place)| place.destination == [destination]);
        found.map(|(at, _)| start + at).ok_or(start)
    }

    pub(super) fn insert(&mut self, name: &[u8], destination: D, weight: u32) {
        match self.find(name, destination) {
            Ok(at) => {
                let weights = &mut self.all[at].weights;
                let at = weights.partition_point(|&other| other < weight);
                weights.insert(at, weight);
            }
            Err(at) => {
                let (weights, destination) = (vec![weight], [destination]);
                self.all.insert(at, Place { name: name.into(), weights, destination });
            }
        }
    }

    pub(super) fn remove(&mut self, name: &[u8], destination: D, weight: u32) {
        let Ok(at) = self.find(name, destination) else { return };
        let weights = &mut self.all[at].weights;
        if let Some(gone) = weights.iter().position(|&other| other == weight) {
            weights.remove(gone);
        }
        if weights.is_empty() {
            self.all.remove(at);
        }
    }
}
