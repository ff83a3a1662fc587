//! Tones to play and what is heard of them: pure functions on samples, of which 48000 are a second. Plays and records nothing itself.

use std::f64::consts::TAU;

/// Samples a second.
pub const RATE: usize = 48_000;
/// How loud a played tone is at full volume, where 1 is the most.
pub const LOUDNESS: f64 = 0.4;
/// A tenth of a second: tones of multiples of 10 Hz do not leak into each other in so many samples.
pub const TENTH: usize = RATE / 10;

/// A WAV file, in stereo, of a tone with this frequency (Hz) and length (seconds).
pub fn wav(hz: f64, seconds: usize) -> Vec<u8> {
    let sample = |n: usize| (LOUDNESS * (TAU * hz * n as f64 / RATE as f64).sin() * f64::from(i16::MAX)) as i16;
    wav_of((0..seconds * RATE).map(sample))
}

/// A WAV file of short bursts (20 ms), one to begin each second.
pub fn bursts(seconds: usize) -> Vec<u8> {
    let sample = |n: usize| match n % RATE {
        // A cosine: its first sample is its loudest.
        at if at < RATE / 50 => {
            (LOUDNESS * (TAU * 1000.0 * at as f64 / RATE as f64).cos() * f64::from(i16::MAX)) as i16
        }
        _ => 0,
    };
    wav_of((0..seconds * RATE).map(sample))
}

/// A WAV file with the same samples on the left and on the right.
fn wav_of(samples: impl Iterator<Item = i16>) -> Vec<u8> {
    let data: Vec<u8> = samples.flat_map(|it| [it.to_le_bytes(), it.to_le_bytes()].concat()).collect();
    let (rate, length) = (RATE as u32, data.len() as u32);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    // Plain samples, two channels.
    file.extend([1_u16, 2].map(u16::to_le_bytes).concat());
    file.extend([rate, rate * 4].map(u32::to_le_bytes).concat());
    file.extend([4_u16, 16].map(u16::to_le_bytes).concat());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

/// The left channel of raw samples in stereo (16 bits, little-endian), from -1 to 1.
pub fn left(raw: &[u8]) -> Vec<f64> {
    raw.chunks_exact(4).map(|it| f64::from(i16::from_le_bytes([it[0], it[1]])) / f64::from(i16::MAX)).collect()
}

/// How loud a frequency (Hz) is among these samples: its amplitude, by Goertzel's algorithm.
pub fn level(samples: &[f64], hz: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let factor = 2.0 * (TAU * hz / RATE as f64).cos();
    let (last, before) = samples.iter().fold((0.0, 0.0), |(last, before), it| (it + factor * last - before, last));
    let power = last * last + before * before - factor * last * before;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

/// How loud it is in the quietest tenth of a second.
pub fn quietest(samples: &[f64], hz: f64) -> f64 {
    samples.chunks_exact(TENTH).map(|it| level(it, hz)).fold(f64::INFINITY, f64::min)
}

/// How loud anything is in the faintest tenth of a second, as the amplitude of a tone that is as loud; jumps in it don't count.
pub fn faintest(samples: &[f64]) -> f64 {
    let power = |it: &[f64]| it.iter().map(|it| it * it).sum::<f64>() / it.len() as f64;
    samples.chunks_exact(TENTH).map(|it| (2.0 * power(it)).sqrt()).fold(f64::INFINITY, f64::min)
}

/// How often a single tone breaks off or jumps: where a sample does not follow from the two before it, as those of a sine do. Breaks within 10 ms
/// are one. What comes before and after the tone does not count, nor does its first and last tenth of a second.
pub fn breaks(samples: &[f64], hz: f64) -> usize {
    let loud = |it: &f64| it.abs() > LOUDNESS / 2.0;
    let (Some(first), Some(last)) = (samples.iter().position(loud), samples.iter().rposition(loud)) else { return 0 };
    let factor = 2.0 * (TAU * hz / RATE as f64).cos();
    let tone = samples.get(first + TENTH..last.saturating_sub(TENTH)).unwrap_or_default();
    let (mut breaks, mut since) = (0, usize::MAX);
    for it in tone.windows(3) {
        since = since.saturating_add(1);
        if (it[2] - factor * it[1] + it[0]).abs() > LOUDNESS / 40.0 {
            breaks += usize::from(since > RATE / 100);
            since = 0;
        }
    }
    breaks
}

/// Where sound begins after at least 50 ms of silence.
pub fn onsets(samples: &[f64]) -> Vec<usize> {
    let mut quiet = RATE;
    let mut found = Vec::new();
    for (n, it) in samples.iter().enumerate() {
        if it.abs() < LOUDNESS / 8.0 {
            quiet += 1;
            continue;
        }
        if quiet >= RATE / 20 {
            found.push(n);
        }
        quiet = 0;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, seconds: usize) -> Vec<f64> {
        left(&wav(hz, seconds)[44..])
    }

    #[test]
    fn a_tone_is_heard_at_its_frequency_alone() {
        let samples = tone(440.0, 1);
        assert_eq!(samples.len(), RATE);
        assert!((level(&samples, 440.0) - LOUDNESS).abs() < 0.001);
        for other in [220.0, 450.0, 880.0] {
            assert!(level(&samples, other) < 0.001, "{other}");
        }
        assert_eq!(level(&[], 440.0), 0.0);
    }

    #[test]
    fn two_tones_are_both_heard() {
        let mixed: Vec<f64> = tone(440.0, 1).iter().zip(tone(880.0, 1)).map(|(a, b)| a + b / 2.0).collect();
        assert!((level(&mixed, 440.0) - LOUDNESS).abs() < 0.001);
        assert!((level(&mixed, 880.0) - LOUDNESS / 2.0).abs() < 0.001);
    }

    #[test]
    fn a_short_silence_is_the_quietest_tenth() {
        let mut samples = tone(440.0, 1);
        assert!(quietest(&samples, 440.0) > 0.39 && faintest(&samples) > 0.39);
        samples[2 * TENTH..3 * TENTH].fill(0.0);
        assert!(quietest(&samples, 440.0) < 0.001 && faintest(&samples) < 0.001);
    }

    #[test]
    fn a_lost_sample_is_a_break_and_silence_around_the_tone_is_none() {
        let mut samples = [vec![0.0; 100], tone(440.0, 1), vec![0.0; 100]].concat();
        assert_eq!(breaks(&samples, 440.0), 0);
        samples.remove(RATE / 2);
        assert_eq!(breaks(&samples, 440.0), 1);
        samples[RATE / 4..RATE / 4 + 200].fill(0.0);
        assert_eq!(breaks(&samples, 440.0), 2);
        assert_eq!(breaks(&[], 440.0), 0);
    }

    #[test]
    fn bursts_begin_with_each_second() {
        assert_eq!(onsets(&left(&bursts(3)[44..])), [0, RATE, 2 * RATE]);
    }
}
