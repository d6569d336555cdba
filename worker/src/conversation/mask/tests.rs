//! What no program can print.

use std::process::Command;

use super::*;

fn masker(values: &[&str]) -> Masker {
    Masker::new(values.iter().map(|value| (*value).to_owned()))
}

#[test]
fn the_longest_of_overlapping_values_is_hidden() {
    let masker = masker(&["abcabc", "abcabcdef", ""]);
    assert_eq!(masker.mask("xabcabcdefx abcabc"), "x<secret-hidden>x <secret-hidden>");
}

#[test]
fn a_value_that_occurs_in_the_mask_leaves_the_mask_whole() {
    assert_eq!(masker(&["topsecret", "secret"]).mask("topsecret secret"), "<secret-hidden> <secret-hidden>");
}

#[test]
fn a_value_split_over_pieces_never_shows() {
    let masker = masker(&["geheim-é-1234", "geheim"]);
    let text = "vor geheim-é-1234 nach geheim und gehe und geheimé ende";
    for size in 1..8 {
        let (mut holdback, mut shown) = (Holdback::default(), String::new());
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(size) {
            shown.push_str(&holdback.push(&piece.iter().collect::<String>(), &masker));
            assert!(!shown.contains("geheim"), "{shown}");
        }
        shown.push_str(&holdback.finish(&masker));
        assert_eq!(shown, masker.mask(text), "pieces of {size}");
    }
}

#[test]
fn nothing_is_held_back_that_cannot_be_a_secret() {
    assert_eq!(Holdback::default().push("at once!", &masker(&[])), "at once!");
    let long = "x".repeat(400);
    assert_eq!(Holdback::default().push("at once!", &masker(&[&long])), "at once!");
}

/// What people keep as secrets by mistake must not shred every output.
#[test]
fn a_short_value_hides_nothing() {
    let masker = masker(&["1", "e", " ", "8080", "\n", "true "]);
    assert_eq!(masker.mask("hello 11 entries on 8080, true"), "hello 11 entries on 8080, true");
    assert!(!is_long_enough("12345\n") && is_long_enough("123456"));
}

/// The programs themselves say what the shapes are.
#[test]
fn no_program_prints_a_secret_in_a_shape_that_shows() {
    let secrets = [
        "s3cr3t-value with a trailing newline\n",
        "-----BEGIN KEY-----\nMIIEvAIBADANBgkqhkiG9w0BAQ\nEFAASCBKYwggSiAgEAAoIBAQ\n-----END KEY-----\n",
        "it's \"quoted\" \\ and $spent & more/than+that=?",
        "pässwörter-überall-é",
    ];
    let programs = [
        "printf %s \"$X\"",
        "echo $X",
        "printf 'a%sb' \"$X\"",
        "printf %q \"$X\"",
        "set | grep ^X=",
        "declare -p X | sed 's/^declare -x //'",
        "declare -a A=(\"$X\"); declare -p A | sed 's/^declare -a //'",
        "declare -A A=([k]=\"$X\"); declare -p A | sed 's/^declare -A //'",
        "declare -A A=([k]=\"$X\"); printf '%s\\n' \"${A[@]@K}\"",
        "printf %s \"${X@Q}\"",
        "printf %s \"${X@A}\" | sed 's/^declare -x //'",
        "alias x=\"$X\"; alias x",
        "trap -- \"$X\" USR1; trap -p USR1 | sed 's/^trap --//'",
        "exec 2>&1; set -x; : \"$X\"",
        "exec 2>&1; set -x; Y=$X",
        "f() { local Y=$X; local -p; }; f",
        "python3 -c 'import json,os; print(json.dumps(os.environ[\"X\"]))'",
        "python3 -c 'import json,os; print(json.dumps(os.environ[\"X\"], ensure_ascii=False))'",
        "python3 -c 'import os, urllib.parse as u; print(u.quote(os.environ[\"X\"])); print(u.quote_plus(os.environ[\"X\"])); print(u.quote(os.environ[\"X\"], safe=\"\"))'",
        "printf %s \"$X\" | base64 -w0",
        "printf %s \"$X\" | base64",
        "printf 'u:%s' \"$X\" | base64 -w0",
        "printf 'user:%s' \"$X\" | base64 -w0",
        "printf 'us:%s:more' \"$X\" | base64 -w0",
        "printf %s \"$X\" | base64 -w0 | tr '+/' '-_'",
    ];
    for secret in secrets {
        let masker = masker(&[secret]);
        for program in programs {
            let output =
                Command::new("bash").args(["-c", program]).env("X", secret).env("LC_ALL", "C.UTF-8").output();
            let output = output.unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(printed.len() > 8, "{program}: {}", String::from_utf8_lossy(&output.stderr));
            let shown = masker.mask(&printed).replace(HIDDEN, "");
            assert!(shown.len() <= 18, "{program} shows {shown:?} of {printed:?}");
        }
    }
}

#[test]
fn of_a_long_secret_that_is_cut_off_nothing_shows() {
    let secret: String = (0..500).map(|number| format!("{number}-")).collect();
    let masker = masker(&[&secret]);
    let text = format!("before {}... after {secret}!", &secret[..1000]);
    assert_eq!(masker.mask(&text), "before <secret-hidden>... after <secret-hidden>!");
    let (mut holdback, mut shown) = (Holdback::default(), String::new());
    for piece in text.as_bytes().chunks(7) {
        shown.push_str(&holdback.push(std::str::from_utf8(piece).unwrap(), &masker));
    }
    shown.push_str(&holdback.finish(&masker));
    assert_eq!(shown, masker.mask(&text));
}

#[test]
fn secrets_cost_little_more_memory_than_they_have() {
    let lines: String = (0..80).map(|line| format!("{line:02}{}\n", "key line of it/".repeat(4))).collect();
    for secret in [lines, "xyz".repeat(1700), "pässwort é".repeat(500), "k3y/".repeat(16_000)] {
        let Known { heads, longer, .. } = &*masker(&[&secret]).0;
        let texts: HashSet<_> = longer.iter().flatten().map(|form| form.text.as_ptr()).collect();
        let forms = longer.iter().flatten().count() * size_of::<Form>();
        let searched: usize = heads.iter().map(|head| head.len()).sum();
        assert!(texts.len() <= 4, "{} copies of {}", texts.len(), secret.len());
        assert!(searched + forms < 4 * secret.len() + 20_000, "{searched} {forms} for {}", secret.len());
    }
}

#[test]
fn no_text_takes_long_whatever_it_nearly_says() {
    let secret = "a".repeat(60_000) + "b";
    let nearly = "a".repeat(50_000) + "c";
    let masker = masker(&[&secret]);
    let begun = std::time::Instant::now();
    let (mut holdback, mut shown) = (Holdback::default(), String::new());
    for _ in 0..40 {
        for piece in nearly.as_bytes().chunks(4096) {
            shown.push_str(&holdback.push(str::from_utf8(piece).unwrap(), &masker));
        }
    }
    shown.push_str(&holdback.finish(&masker));
    assert_eq!(shown, masker.mask(&nearly.repeat(40)));
    assert!(!shown.contains("aaaaaa"));
    // Comparing all that follows at each place would take a minute and more.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn of_a_crowd_of_secrets_that_begin_alike_nothing_shows() {
    let secrets: Vec<String> = (0..500).map(|number| format!("{}{number:04} end", "x".repeat(80))).collect();
    let masker = Masker::new(secrets.clone());
    let text = format!("before {} after", secrets.join(" between "));
    let begun = std::time::Instant::now();
    let masked = masker.mask(&text.repeat(100));
    // More is hidden than must be, but not much.
    assert!(masked.starts_with("before <secret-hidden>"), "{masked:.200}");
    assert_eq!(masked.matches("etween").count(), 499 * 100);
    assert!(!masked.contains("xxxxxx") && !masked.contains("0499"));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Every way of cutting a text gives what the whole gives.
#[test]
fn it_does_not_matter_how_a_text_is_cut() {
    let long = "0123456789".repeat(12) + "é";
    let masker = masker(&["abcabc", "abcabcdef", &long, &(long.clone() + "more"), "ééééé"]);
    let alphabet = ["abc", "abcabcde", &long[..70], &long[64..], &long, "more", "é", "éééé", "z"];
    for seed in 0..400_usize {
        let picked = (0..12).map(|at| alphabet[(seed * 31 + at * (at + seed * 7)) % alphabet.len()]);
        let text: String = picked.collect();
        let whole = masker.mask(&text);
        assert!(!whole.contains("abcabc"), "{whole}");
        for size in [1, 2, 3, 7, 64, 65] {
            let (mut holdback, mut shown) = (Holdback::default(), String::new());
            for piece in text.chars().collect::<Vec<_>>().chunks(size) {
                shown.push_str(&holdback.push(&piece.iter().collect::<String>(), &masker));
                assert!(holdback.held.len() < LONGEST_HEAD);
            }
            shown.push_str(&holdback.finish(&masker));
            assert_eq!(shown, whole, "pieces of {size} of {text}");
        }
    }
}

#[test]
fn a_text_full_of_secrets_is_masked_in_one_pass_however_it_comes() {
    let masker = masker(&["abcabc"]);
    let text = "abcabc".repeat(500_000);
    let begun = std::time::Instant::now();
    let mut holdback = Holdback::default();
    let mut shown = holdback.push(&text, &masker);
    shown.push_str(&holdback.finish(&masker));
    assert_eq!(shown.len(), 500_000 * HIDDEN.len());
    // Copying the rest for each of them would take an hour.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// One pass, whatever the number of secrets: every letter is copied at most once.
#[test]
fn a_hundred_secrets_cost_one_pass() {
    let secrets: Vec<String> = (0..100).map(|i| format!("secret-number-{i:03}-{}", i * 7919)).collect();
    let masker = Masker::new(secrets.clone());
    let line = format!("{} and text that is none of their business\n", secrets[42]);
    let text = line.repeat((1 << 20) / line.len());
    let masked = masker.mask(&text);
    assert_eq!(masked.matches(HIDDEN).count(), text.lines().count());
    assert!(!masked.contains("secret-number"));
}
