//! The partitioner of Kafka's Java client, so that joins with other producers' topics work.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// Returns the partition of a key. librdkafka chooses the same one when it writes (`partitioner=murmur2_random`).
///
/// # Panics
/// If `partitions` is 0.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// Kafka's murmur2.
fn murmur2(key: &[u8]) -> u32 {
    // Kafka has no keys of that length.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> SHIFT;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        let mut rest = [0; 4];
        rest[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(rest)).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_kafka_and_of_the_contract() {
        assert_eq!(murmur2(b"21"), (-973_932_308i32).cast_unsigned());
        assert_eq!(murmur2(b"foobar"), (-790_332_482i32).cast_unsigned());
        let uuid = b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(murmur2(uuid), 2_998_981_804);
        assert_eq!((partition_of(uuid, 6), partition_of(uuid, 12)), (2, 8));
    }
}
