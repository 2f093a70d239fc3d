//! The crate against the expectations that Jinja2 wrote (testdata/vectors.py). The tests in Go have the module in its
//! sandbox do the same, and more.

use template::{ChatTemplate, Failure, Limits, Pieces, Step};

fn vectors(name: &str) -> serde_json::Value {
    let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn compile(text: &str) -> Result<ChatTemplate, Failure> {
    ChatTemplate::compile(text, "<s>", "</s>", Limits::default())
}

fn render(text: &str, input: &str) -> Result<String, Failure> {
    compile(text)?.render(input.as_bytes(), 1721865600)
}

fn refusal(text: &str, input: &str) -> String {
    render(text, input).unwrap_err().to_string()
}

#[test]
fn dialogues_of_smollm2_are_jinja2_s() {
    let file = vectors("smollm2.json");
    for case in file["cases"].as_array().unwrap() {
        let token = |name: &str| file[name].as_str().unwrap();
        let text = case["template"].as_str().unwrap();
        let mut t = ChatTemplate::compile(text, token("bos"), token("eos"), Limits::default()).unwrap();
        let prompt = t.render(case["input"].as_str().unwrap().as_bytes(), file["now"].as_i64().unwrap());
        assert_eq!(prompt.unwrap(), case["prompt"].as_str().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn the_language_is_jinja2_s() {
    let file = vectors("language.json");
    let input = file["input"].as_str().unwrap();
    for case in file["cases"].as_array().unwrap() {
        let text = case["template"].as_str().unwrap();
        match (render(text, input), case["prompt"].as_str()) {
            (Ok(got), Some(want)) => assert_eq!(got, want, "{text:?}"),
            (Ok(got), None) => panic!("{text:?} gives {got:?}; Jinja2 refuses it: {}", case["refused"]),
            (Err(err), Some(want)) => panic!("{text:?} is refused: {err}; Jinja2 gives {want:?}"),
            (Err(_), None) => (),
        }
    }
}

#[test]
fn refusals_say_where_and_what() {
    for (text, input, want) in [
        ("a\n{{ raise_exception('Roles must alternate: <user> first') }}", "{}", "Roles must alternate: <user> first"),
        ("\n\n{{ x.y }}", "{}", "chat template, line 3: undefined value"),
        ("{% if %}", "{}", "chat template, line 1: syntax error: unexpected end of block"),
        ("a\n{{ 'x'|nope }}", "{}", "chat template, line 2: unknown filter: filter nope is unknown"),
        ("{{ 'x' + 1 }}", "{}", "chat template, line 1: +: string and number cannot be added"),
        ("{% macro m(x) %}\n{{ x.a.b }}\n{% endmacro %}\n\n{{ m(1) }}", "{}", "chat template, line 2: undefined value"),
        ("{% for x in y %}{% endfor %}", "{\"y\": null}", "chat template, line 1: None is not iterable"),
        ("{{ 'a' in y }}", "{\"y\": null}", "chat template, line 1: in: None is not iterable"),
        ("{{ y < 1 }}", "{\"y\": null}", "chat template, line 1: none and number have no order"),
        ("a", "[]", "input: expected a JSON object with the member messages"),
        ("a", "{\"a\": 1", "input: not valid JSON: EOF while parsing an object at line 1 column 7"),
        ("a", "{\"a\": \"\\ud800\"}", "input: not valid JSON: unexpected end of hex escape at line 1 column 14"),
    ] {
        assert_eq!(refusal(text, input), want, "{text:?}");
    }
    assert!(compile("{{").is_err());
    let mut t = compile("{{ strftime_now('%Y') }}").unwrap();
    assert_eq!(t.render(b"{}", i64::MAX).unwrap_err().to_string(),
        "chat template, line 1: strftime_now: the time passed in is not within the years 1 to 9999");
}

#[test]
fn limits_hold() {
    let limits = Limits { input: 20, output: 10, ..Limits::default() };
    let mut t = ChatTemplate::compile("{{ a * 11 }}", "", "", limits).unwrap();
    assert_eq!(t.render(b"{\"a\": \"\"}", 0).unwrap(), "");
    assert_eq!(t.render(b"{\"a\": \"b\"}", 0).unwrap_err().to_string(), "chat template: the prompt is 11 bytes long, more than 10");
    let (mut pieces, mut out) = (Pieces::default(), [0; 16]);
    let err = pieces.step(&mut t, b"{\"a\": \"bbbbbbbbbbbbbb\"}", true, 0, &mut out).unwrap_err();
    assert_eq!(err.to_string(), "input: the dialogue is longer than 20 bytes of JSON");
}

#[test]
fn pieces_of_any_size_give_the_whole() {
    let text = "{% for m in messages %}<{{ m }}>é{% endfor %}";
    let input = r#"{"messages": ["a", "日本", "c"]}"#.as_bytes();
    let want = render(text, std::str::from_utf8(input).unwrap()).unwrap();
    let mut t = compile(text).unwrap();
    let mut pieces = Pieces::default();
    for (size, room) in [(1, 1), (3, 2), (7, 100), (100, 1), (100, 100)] {
        let (mut got, mut out) = (Vec::new(), vec![0; room]);
        for (n, piece) in input.chunks(size).enumerate() {
            let last = (n + 1) * size >= input.len();
            let step = pieces.step(&mut t, piece, last, 0, &mut out).unwrap();
            assert_eq!(step.consumed, piece.len());
            assert!(last || step == Step { consumed: piece.len(), written: 0, more: true });
            got.extend_from_slice(&out[..step.written]);
            let mut more = last && step.more;
            while more {
                let step = pieces.step(&mut t, b"", true, 0, &mut out).unwrap();
                got.extend_from_slice(&out[..step.written]);
                more = step.more;
            }
        }
        assert_eq!(String::from_utf8(got).unwrap(), want, "pieces of {size} into {room}");
    }
}
