package server

import (
	"encoding/json"
	"maps"
	"slices"
)

// constraintKinds are the settings of which an answer can be held to one.
var constraintKinds = []string{"grammar", "json_schema", "regex", "choice"}

// bodyConstraints are the fields of a body that hold its answer to something, and the setting that each is: llama.cpp's
// names, and those that vLLM has had.
var bodyConstraints = map[string]string{
	"grammar": "grammar", "guided_grammar": "grammar", "json_schema": "json_schema", "guided_json": "json_schema",
	"guided_regex": "regex", "guided_choice": "choice", "banned_strings": "banned_strings", "bad_words": "banned_strings",
}

// structured are the members of vLLM's structured_outputs.
var structured = map[string]string{"json": "json_schema", "regex": "regex", "choice": "choice", "grammar": "grammar"}

// anyObject is the schema of any JSON object.
const anyObject = `{"type":"object"}`

// constraint gathers what a body holds its answer to, over the defaults: a body that names a grammar, a schema, an
// expression or choices has none of the defaults' of these.
func constraint(body map[string]json.RawMessage, defaults map[string]any) (map[string]any, error) {
	own := map[string]any{}
	if err := constraintFields(own, body, bodyConstraints, ""); err != nil {
		return nil, err
	}
	if raw := body["structured_outputs"]; !isNull(raw) {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, badRequest("\"structured_outputs\" is not an object")
		}
		if err := constraintFields(own, fields, structured, "structured_outputs."); err != nil {
			return nil, err
		}
		if raw := fields["json_object"]; string(raw) == "true" {
			if err := setConstraint(own, "json_schema", anyObject); err != nil {
				return nil, err
			}
		}
	}
	if err := responseFormat(own, body["response_format"]); err != nil {
		return nil, err
	}
	if len(own) == 0 && len(defaults) == 0 {
		return nil, nil
	}
	out := maps.Clone(defaults)
	if out == nil {
		out = map[string]any{}
	}
	if slices.ContainsFunc(constraintKinds, func(key string) bool { return own[key] != nil }) {
		for _, key := range constraintKinds {
			delete(out, key)
		}
	}
	maps.Copy(out, own)
	return out, nil
}

// constraintFields adds the fields of a body that names gives settings for.
func constraintFields(own map[string]any, body map[string]json.RawMessage, names map[string]string, prefix string) error {
	for _, field := range slices.Sorted(maps.Keys(names)) {
		raw, setting := body[field], names[field]
		if isNull(raw) {
			continue
		}
		var text string
		isText := json.Unmarshal(raw, &text) == nil
		switch setting {
		case "choice", "banned_strings":
			var list []string
			if err := json.Unmarshal(raw, &list); err != nil {
				return badRequest("\"%s%s\" is not a list of strings", prefix, field)
			}
			text = string(raw)
		case "json_schema":
			if !isText { // vLLM takes a schema as text too
				text = string(raw)
			}
		default:
			if !isText {
				return badRequest("\"%s%s\" is not a string", prefix, field)
			}
		}
		if text == "" || text == "[]" {
			continue
		}
		if err := setConstraint(own, setting, text); err != nil {
			return err
		}
	}
	return nil
}

// setConstraint sets one of the settings, of which each may be set once.
func setConstraint(own map[string]any, setting, text string) error {
	if own[setting] != nil {
		return badRequest("the body sets %s twice: give one field for it", setting)
	}
	own[setting] = text
	return nil
}

// responseFormat reads OpenAI's response_format.
func responseFormat(own map[string]any, raw json.RawMessage) error {
	if isNull(raw) {
		return nil
	}
	var format struct {
		Type       string          `json:"type"`
		Schema     json.RawMessage `json:"schema"` // llama.cpp's server takes one beside json_object
		JSONSchema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	}
	if err := json.Unmarshal(raw, &format); err != nil {
		return badRequest("\"response_format\" is not an object with a \"type\"")
	}
	switch format.Type {
	case "text":
		return nil
	case "json_object":
		if isNull(format.Schema) {
			return setConstraint(own, "json_schema", anyObject)
		}
		return setConstraint(own, "json_schema", string(format.Schema))
	case "json_schema":
		if isNull(format.JSONSchema.Schema) {
			return badRequest("\"response_format\" of type json_schema has no json_schema.schema")
		}
		return setConstraint(own, "json_schema", string(format.JSONSchema.Schema))
	}
	return badRequest("\"response_format\" has the type %q: there are text, json_object and json_schema", format.Type)
}
