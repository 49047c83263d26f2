//! Configuration files. A file that is refused says why.

use millstream_cli::config::{Config, Settings};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

const FILES: [&str; 5] = [
    "schema = ['core.json', \"extension.json\"]\n[api]\nlisten = \"127.0.0.1:1\"\npage_limit = 25\n",
    "database.url = \"postgres://user:p%40ss@host:5432/db?sslmode=verify-full\"\nsinks = ['kafka', 'embedded']\n",
    "[kafka]\nbootstrap_servers = 'a:1,b:2'\nproperties = ['sasl.password=a,b']\nrecord_bytes_max = 1_048_588\n",
    "[source]\nkind = 'debezium'\ntopic = 't'\nform = 'debezium-router'\n[queue]\nkind = 'kafka'\n",
    "[opensearch]\nurl = 'https://search.example:9200'\nca_file = 'ca.pem'\n[log]\nlevel = 'info,api=debug'\n",
];

/// The file is written for each input: `Settings` reads files only.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("millstream-fuzz-{}.toml", std::process::id())));

pub fn seeds() -> Vec<Vec<u8>> {
    FILES.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub fn read(bytes: &[u8]) {
    fs::write(&*FILE, bytes).expect("the file is written");
    let resolved =
        Settings::gather(Some(&FILE), &Vec::new(), Vec::new()).and_then(|settings| Config::resolve(&settings));
    if let Err(errors) = resolved {
        assert!(errors.iter().count() > 0, "refused without a reason");
    }
}
