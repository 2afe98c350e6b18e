//! Links, capabilities and faults of nodes, in the words of both sides.
//!
//! What the UI asks for goes through the words of the command line, so that a fault means the
//! same on every surface.

use playground::engine::Capability;
use playground::faults::NodeFault;
use playground::links::{LinkFault, LinkView};
use playground::{Client, PlaygroundError, Request};
use tui::fleet;
use tui::lab::link::LinkState;

pub fn link(view: &LinkView) -> fleet::PeerLink {
    fleet::PeerLink {
        from: view.from.clone(),
        to: view.to.clone(),
        state: state(view.fault),
        bytes_per_second: view.bytes_per_second,
        connections: view.connections,
    }
}

fn state(fault: LinkFault) -> LinkState {
    match fault {
        LinkFault::Ok => LinkState::Ok,
        LinkFault::Freeze => LinkState::Freeze,
        LinkFault::Reset => LinkState::Reset,
        LinkFault::Delay { ms, jitter_ms } => LinkState::Delay { ms, jitter_ms },
        LinkFault::Rate { bytes_per_second } => LinkState::Rate { bytes_per_second },
        LinkFault::Flap { up_ms, down_ms } => LinkState::Flap { up_ms, down_ms },
    }
}

pub fn capability(capability: &Capability) -> fleet::Capability {
    fleet::Capability {
        name: capability.name.clone(),
        available: capability.available,
        reason: capability.reason.clone(),
    }
}

/// Changes links one after the other, and stops at the first that is refused.
pub async fn change(
    client: &Client,
    changes: Vec<(String, String, LinkState)>,
) -> Result<(), PlaygroundError> {
    for (from, to, state) in changes {
        let fault: LinkFault = state.to_string().parse()?;
        client.perform(Request::Link { from, to, fault }).await?;
    }
    Ok(())
}

/// A fault of a node, read from its words.
pub fn fault(selector: String, words: &str) -> Result<Request, PlaygroundError> {
    Ok(Request::Fault { selector, fault: words.parse::<NodeFault>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_asked_for_in_words_that_mean_it() {
        for asked in [
            LinkState::Ok,
            LinkState::Freeze,
            LinkState::Reset,
            LinkState::Delay { ms: 50, jitter_ms: 0 },
            LinkState::Delay { ms: 50, jitter_ms: 10 },
            LinkState::Rate { bytes_per_second: 64_000 },
            LinkState::Flap { up_ms: 300, down_ms: 700 },
        ] {
            let fault: LinkFault = asked.to_string().parse().unwrap();
            assert_eq!(state(fault), asked);
        }
    }

    #[test]
    fn the_faults_the_palette_lists_are_faults() {
        for words in tui::NODE_FAULTS {
            assert!(fault("n1".into(), words).is_ok(), "{words}");
        }
    }
}
