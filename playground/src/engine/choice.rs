//! What a user said about the engine of a cluster, and what becomes of it.
//!
//! A new cluster runs what was asked for. A cluster that exists keeps its engine for good; the
//! programs of its nodes can be exchanged while it is down, which is how an upgrade is tried.

use std::path::PathBuf;

use super::{Binary, Engine};
use crate::{PlaygroundError, spec::FleetSpec};

/// What was asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// The kind of node, if it was said.
    pub engine: Option<Engine>,
    /// The program of all nodes.
    pub etcd_bin: Option<PathBuf>,
    /// The programs of single nodes, by name.
    pub node_bins: Vec<(String, PathBuf)>,
}

impl Choice {
    /// What a cluster of `nodes` nodes must be asked for to run what another one runs.
    pub fn like(spec: &FleetSpec, nodes: usize) -> Self {
        let founders = FleetSpec::new(&spec.name, nodes, spec.base_port, 0, true);
        let founds = |name: &str| founders.nodes.iter().any(|node| node.name == name);
        let path = |binary: &Binary| binary.path.clone();
        let own = spec.nodes.iter().filter(|node| founds(&node.name));
        let own = own.filter_map(|node| Some((node.name.clone(), path(node.binary.as_ref()?))));
        Self {
            engine: Some(spec.engine),
            etcd_bin: spec.binary.as_ref().map(path),
            node_bins: own.collect(),
        }
    }

    /// The words of the command line that say the same.
    pub fn words(&self) -> Vec<String> {
        if self.engine.unwrap_or_default() == Engine::Builtin {
            return Vec::new();
        }
        let engine = ["--engine".to_owned(), Engine::Etcd.word().to_owned()];
        let of_all = self.etcd_bin.iter();
        let of_all = of_all.flat_map(|path| ["--etcd-bin".to_owned(), path.display().to_string()]);
        let own = self.node_bins.iter().flat_map(|(name, path)| {
            ["--node-bin".to_owned(), format!("{name}={}", path.display())]
        });
        engine.into_iter().chain(of_all).chain(own).collect()
    }

    /// Reads `n3=/opt/etcd`.
    pub fn node_bin(text: &str) -> Result<(String, PathBuf), PlaygroundError> {
        match text.split_once('=') {
            Some((node, path)) if !node.is_empty() && !path.is_empty() => {
                Ok((node.to_owned(), PathBuf::from(path)))
            }
            _ => Err(PlaygroundError::Usage(format!(
                "{text:?} does not say which node runs which program: say it like \
                 --node-bin n3=/opt/etcd-3.5/etcd"
            ))),
        }
    }

    /// Whether a program was named.
    fn names_a_program(&self) -> bool {
        self.etcd_bin.is_some() || !self.node_bins.is_empty()
    }

    /// Completes the plan of a new cluster.
    pub fn plan(&self, spec: FleetSpec) -> Result<FleetSpec, PlaygroundError> {
        let engine = self.engine.unwrap_or(match self.names_a_program() {
            true => Engine::Etcd,
            false => Engine::Builtin,
        });
        match engine {
            Engine::Builtin if self.names_a_program() => Err(PlaygroundError::Usage(
                "--etcd-bin and --node-bin are for --engine etcd: the builtin engine is this \
                 program itself"
                    .to_owned(),
            )),
            Engine::Builtin => Ok(spec),
            Engine::Etcd => {
                let binary = Binary::find(self.etcd_bin.as_deref())?;
                let mut spec = spec.run_by(Engine::Etcd, Some(binary));
                self.equip(&mut spec)?;
                Ok(spec)
            }
        }
    }

    /// Checks the programs of a cluster that exists and is down, and exchanges those that were
    /// named. Says what is other than it was; true when the plan has changed.
    pub fn revise(&self, spec: &mut FleetSpec) -> Result<(Vec<String>, bool), PlaygroundError> {
        let mut remarks: Vec<String> = self.mismatch(spec).into_iter().collect();
        if spec.engine == Engine::Builtin {
            return Ok((remarks, false));
        }
        let before = spec.clone();
        if let Some(path) = &self.etcd_bin {
            spec.binary = Some(Binary::examine(path)?);
            for node in &mut spec.nodes {
                node.binary = None;
            }
        } else if let Some(binary) = &spec.binary {
            spec.binary = Some(Binary::examine(&binary.path)?);
        }
        for node in &mut spec.nodes {
            if let Some(binary) = &node.binary {
                node.binary = Some(Binary::examine(&binary.path)?);
            }
        }
        self.equip(spec)?;
        for (old, new) in before.nodes.iter().zip(&spec.nodes) {
            if let (Some(was), Some(is)) = (before.binary_of(old), spec.binary_of(new))
                && was != is
            {
                remarks.push(format!(
                    "{} runs etcd {} at {} now, it was {}",
                    new.name,
                    is.version,
                    is.path.display(),
                    if was.version == is.version {
                        "another build".into()
                    } else {
                        was.version.to_string()
                    },
                ));
            }
        }
        Ok((remarks, before != *spec))
    }

    /// What was asked of a cluster that runs and cannot be had.
    pub fn remarks(&self, spec: &FleetSpec) -> Vec<String> {
        let mut remarks: Vec<String> = self.mismatch(spec).into_iter().collect();
        if remarks.is_empty() && self.names_a_program() {
            remarks.push(format!(
                "cluster {0} runs and keeps its programs: `etcd-tui down {0}` first",
                spec.name
            ));
        }
        remarks
    }

    fn mismatch(&self, spec: &FleetSpec) -> Option<String> {
        let asked = match self.engine {
            None if self.names_a_program() => Engine::Etcd,
            asked => asked?,
        };
        (asked != spec.engine).then(|| {
            format!(
                "cluster {} keeps its engine, {}: its data is of no use to the other one",
                spec.name,
                spec.engine.word()
            )
        })
    }

    fn equip(&self, spec: &mut FleetSpec) -> Result<(), PlaygroundError> {
        for (name, path) in &self.node_bins {
            let binary = Binary::examine(path)?;
            let Some(node) = spec.nodes.iter_mut().find(|node| node.name == *name) else {
                let known: Vec<&str> = spec.nodes.iter().map(|node| node.name.as_str()).collect();
                return Err(PlaygroundError::Usage(format!(
                    "--node-bin names {name}, and the nodes are {}",
                    known.join(", ")
                )));
            };
            node.binary = Some(binary);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FleetSpec {
        FleetSpec::new("a", 3, 23790, 1, false)
    }

    #[test]
    fn without_a_word_it_is_our_own_node() {
        let planned = Choice::default().plan(spec()).unwrap();
        assert_eq!((planned.engine, planned.binary), (Engine::Builtin, None));
    }

    #[test]
    fn a_program_for_our_own_engine_is_a_contradiction() {
        let choice = Choice {
            engine: Some(Engine::Builtin),
            etcd_bin: Some("/x".into()),
            ..Choice::default()
        };
        assert!(choice.plan(spec()).unwrap_err().is_usage());
    }

    #[test]
    fn a_cluster_keeps_its_engine_and_says_so() {
        let choice = Choice { engine: Some(Engine::Etcd), ..Choice::default() };
        let mut planned = spec();
        let (remarks, changed) = choice.revise(&mut planned).unwrap();
        assert!(remarks[0].contains("keeps its engine, builtin") && !changed);
        assert_eq!(planned, spec());
        assert!(Choice::default().remarks(&spec()).is_empty());
    }

    #[test]
    fn another_cluster_runs_the_same_programs_as_far_as_it_has_the_nodes() {
        let binary = |path: &str| Binary {
            path: path.into(),
            version: "3.6.6".parse().unwrap(),
            sha256: String::new(),
        };
        let mut etcd =
            FleetSpec::new("a", 5, 23790, 1, false).run_by(Engine::Etcd, Some(binary("/e36")));
        etcd.nodes[1].binary = Some(binary("/e35"));
        etcd.nodes[4].binary = Some(binary("/e34"));
        let three = Choice::like(&etcd, 3);
        assert_eq!(three.engine, Some(Engine::Etcd));
        assert_eq!(three.node_bins, [("n2".to_owned(), "/e35".into())]);
        let said = three.words().join(" ");
        assert_eq!(said, "--engine etcd --etcd-bin /e36 --node-bin n2=/e35");
        assert_eq!(Choice::like(&etcd, 5).node_bins.len(), 2);
        assert!(Choice::like(&spec(), 5).words().is_empty());
    }

    #[test]
    fn node_bins_are_a_name_and_a_path() {
        assert_eq!(Choice::node_bin("n3=/a=b").unwrap(), ("n3".to_owned(), "/a=b".into()));
        for text in ["", "n3", "=x", "n3="] {
            assert!(Choice::node_bin(text).unwrap_err().is_usage(), "{text:?}");
        }
    }
}
