//! The entrance of the crate `fuzz` to the records of a change topic.

use super::form::{RecordForm, TopicRecord, encode};

/// Decodes a record of this form with one header.
///
/// # Panics
/// When a change of Millstream's own form is not encoded as the record that it was decoded from.
pub fn change_record(form: RecordForm, header: (&str, &[u8]), value: Option<&[u8]>) {
    let (name, content) = header;
    let record = TopicRecord { value, headers: vec![(name, Some(content))] };
    if let Ok(Some(change)) = form.decode(&record)
        && form == RecordForm::Millstream
    {
        assert_eq!(value, Some(&encode(&change)[..]), "another record of the same change");
    }
}
