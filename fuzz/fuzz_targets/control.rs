//! Messages of the control socket: a request as the process reads it, and the reply to it as a command reads it. A
//! message that is read and written again is read as the same.

use millstream_cli::control::{Request, Response};

const MESSAGES: [&str; 8] = [
    r#"{"do":"status"}{"pid":1}"#,
    r#"{"do":"sink_add","sink":"kafka","backfill":2000}{"lane":"kafka"}"#,
    r#"{"do":"sink_pause","sink":"kafka","paused":true}{"lanes":["kafka"],"paused":true}"#,
    r#"{"do":"quarantine_list","place":null}{"entries":[],"unreadable":[]}"#,
    r#"{"do":"quarantine_retry","documents":["00000000-0000-0000-0000-000000000007"],"place":null}{"released":1}"#,
    r#"{"do":"index","sink":"opensearch","action":"list"}{"generations":[]}"#,
    r#"{"do":"replay_cancel","target":"cache"}{"cancelled":true}"#,
    r#"{"do":"wait","version":7,"sink":null,"timeout_ms":1000}{"waited_ms":1}"#,
];

pub fn seeds() -> Vec<Vec<u8>> {
    MESSAGES.map(|message| message.replacen("}{", "}\n{", 1).into_bytes()).to_vec()
}

pub fn read(bytes: &[u8]) {
    let (line, reply) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    let Ok(request) = serde_json::from_slice::<Request>(line) else { return };
    let written = serde_json::to_vec(&request).expect("a request is written");
    assert_eq!(serde_json::from_slice::<Request>(&written).ok().as_ref(), Some(&request));
    if let Ok(response) = Response::decode(&request, reply) {
        let written = serde_json::to_vec(&response).expect("a reply is written");
        assert_eq!(Response::decode(&request, &written).ok(), Some(response));
    }
}
