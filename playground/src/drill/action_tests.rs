//! Every step and condition as it is written, and what is no step.

use super::*;

#[test]
fn what_is_printed_parses_to_the_same() {
    let lines = [
        "kill leader",
        "wipe {victim}",
        "replace n2",
        "grow 5",
        "move-leader",
        "member-add http://127.0.0.1:1",
        "fill 10 1000000",
        "put color red and blue",
        "link {a}>n2 freeze",
        "link {a}>not {a} delay 50±10",
        "pick follower:2",
        "link n1>n2,n3 flap 300/700",
        "partition n1|n2,n3",
        "isolate leader",
        "bridge leader {far} via rest",
        "heal",
        "fault {victim} disk-full",
        "fault n1 slow 50",
        "wait 1500ms",
        "wait 2m",
        "say hello you",
        "await healthy within 20s",
        "await leader other than {victim} within 10s",
        "await node {victim} removed within 5s",
        "check serializable-get works at n1,n2",
        "await put works at not {victim} within 5s",
        "check put fails",
        "check no alarm",
        "check no value a",
        "check term up",
        "check voters 5",
        "check logged {victim} has already been bootstrapped",
        "client pause holder",
        "check application lost-updates 0",
        "await application writes at-least 3 within 10s",
    ];
    for line in lines {
        let action: Action = line.parse().unwrap();
        assert_eq!(action.to_string(), line);
    }
}

#[test]
fn nonsense_is_answered_with_what_is_understood() {
    let table = [
        ("explode n1", "steps are:"),
        ("kill", "needs nodes"),
        ("grow many", "needs a number"),
        ("wait soon", "write 500ms, 3s or 2m"),
        ("wait 99999999999999999999s", "no duration"),
        ("wait 9999999m", "no duration"),
        ("await healthy", "needs a limit"),
        ("await sunny within 3s", "conditions are:"),
        ("check node n1 tired", "conditions are:"),
        ("check health great", "conditions are:"),
        ("check put works on n1", "conditions are:"),
        ("compact now", "steps are:"),
        ("link n1 freeze", "write it as"),
        ("link n1>n2 melt", "melt"),
        ("bridge n1 n2", "bridge leader {far}"),
        ("fault n1 sadness", "no fault of a node"),
        ("fill 10", "write `fill"),
        ("client hug holder", "write it as"),
        ("check application writes many", "conditions are:"),
    ];
    for (line, part) in table {
        let error = line.parse::<Action>().unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
}
