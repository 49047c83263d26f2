//! What the window promises: nothing unfinished is ever before what may be committed.
use super::*;
